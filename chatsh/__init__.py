"""An interactive chat shell on cmd2 and rich, and the client it is built on."""
