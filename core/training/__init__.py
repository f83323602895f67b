"""Training by SFT and DPO: jobs, their stages and trainers, the process that runs them."""
