"""The Graph API client: rules as pure tests, behaviour over real sockets against the simulator."""
