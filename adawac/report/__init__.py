"""The report: does reweighting help on these data, where, and can the number be trusted?"""
