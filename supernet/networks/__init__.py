"""Networks in torch and what describes them: static subnets, elastic networks, and the way between the two."""
