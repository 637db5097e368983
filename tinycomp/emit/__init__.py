"""Program -> text: the C library (`library`) and the PlatformIO project around it (`project`). Jinja, no decisions."""
