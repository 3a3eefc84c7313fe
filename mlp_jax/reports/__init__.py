"""Reports on finished runs: listing, comparison, HTML page, inspection."""
