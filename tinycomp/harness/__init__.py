"""Running what was emitted: natively under sanitizers, in emulators, on devices; and comparing it with the reference."""
