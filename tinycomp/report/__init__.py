"""What a build costs and why: figures as JSON, and text that renders them."""
