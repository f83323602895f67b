"""The credit view: a prompt, two responses, and where their rewards lie."""
