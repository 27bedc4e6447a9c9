"""OpenAI's endpoints, one a file, in the shapes of its API reference: what is read, what is answered.

Which of them a simulated service has, under which rules about keys and models, is said in the folder above.
"""
