"""The log that several daemons share: kept by NATS JetStream, read by each of them in full."""
