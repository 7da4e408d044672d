"""The writes of the store, one module for each kind. A job runs inside the writer's transaction."""
