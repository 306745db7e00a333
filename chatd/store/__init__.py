"""The log and the state, behind one short promise with several keepers."""
