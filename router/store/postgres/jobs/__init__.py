"""The writes of the store, one module for each kind. A job adds its statements to the writer's transaction."""
