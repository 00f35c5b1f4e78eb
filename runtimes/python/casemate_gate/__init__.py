"""The gate's checks: what a bundle or a project is searched for before anything of it runs."""
