"""How the paper's networks are trained: as the authors did (`paper`), faster and better (`modern`),
and with learned switches (`learned`). Loads torch.
"""
