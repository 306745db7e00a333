"""The one user of sockets and selectors. Standard library only; knows nothing about chat."""
