"""Who acts: the linear controller, CMA-ES, Stable-Baselines3 agents and rule-based baselines."""
