"""Names of programs, by what they do with a sender's text."""

#: Their arguments and input are only data: they run, load or overwrite nothing that the data names.
PLAIN = frozenset(
    (
        *("base32", "base64", "basename", "b2sum", "cat", "cksum", "cut", "dirname", "echo", "expr", "false"),
        *("fold", "grep", "head", "logger", "ls", "md5sum", "nl", "od", "printf", "readlink", "realpath"),
        *("rev", "seq", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "sleep", "stat", "sum"),
        *("tac", "tail", "test", "tr", "true", "uname", "uptime", "wc", "yes"),
    )
)
#: Their input is only data. Their arguments may name a file to write or a program to run.
READERS = frozenset({"date", "df", "gzip", "id", "jq", "sort", "tee", "uniq"})
MULTICALL = frozenset({"busybox", "toybox", "coreutils"})  #: one program of many names
#: They run, load or write whatever they are told, so an operator's copy of one is still dangerous.
DANGEROUS = frozenset(
    (
        *("ansible-playbook", "at", "batch", "bun", "cargo", "cmake", "crontab", "csh", "curl", "dd", "deno"),
        *("docker", "ed", "emacs", "eval", "ex", "expect", "find", "fish", "gdb", "git", "install", "ld.so"),
        *("m4", "mail", "make", "mysql", "nc", "ncat", "ninja", "npm", "npx", "nsenter", "openssl", "parallel"),
        *("patch", "php-cgi", "pip", "podman", "psql", "pwsh", "rsync", "script", "sed", "socat", "sqlite3"),
        *("ssh", "su", "systemd-run", "tar", "tcsh", "tclsh", "time", "unshare", "unzip", "vi", "vim", "watch"),
        *("wget", "xargs", "zip"),
    )
)

#: Dangerous when they stand in a script's first line: the script gets the arguments and the input.
RUN_SCRIPTS = frozenset({"ansible-playbook", "bun", "csh", "deno", "expect", "fish", "pwsh", "tcsh", "tclsh"})
