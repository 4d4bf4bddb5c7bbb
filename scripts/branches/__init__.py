"""Which branches of the bytecode have been run: probes in every conditional jump, and a report by source line."""
