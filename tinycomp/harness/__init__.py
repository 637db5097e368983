"""Running what was emitted: natively under sanitizers, in emulators, on devices; comparing it with the reference."""
