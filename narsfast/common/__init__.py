"""What every package stands on: whole files, seeds, progress, threads, trials, differences between two settings."""
