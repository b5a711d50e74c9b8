"""How the paper's networks are trained. Loads torch.

As the authors did (`paper`), faster and better (`modern`), and with learned switches (`learned`).
"""
