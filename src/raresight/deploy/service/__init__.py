"""The HTTP service: `create_app` makes it, `raresight.deploy.service.server` runs it."""
