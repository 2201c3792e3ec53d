"""The same run in virtual time: the decisions of the services, none of their I/O."""
