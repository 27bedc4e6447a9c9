"""The hot path: may this key call, and who is it?"""
