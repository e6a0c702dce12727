# The EICAR test file: harmless, and every scanner finds it, so that one can see that scanning works.
# It is written as hexadecimal digits so that this file is not one itself.
bytes 58354f2150254041505b345c505a58353428505e2937434329377d2445494341522d5354414e444152442d414e544956495255532d544553542d46494c452124482b482a Eicar-Test-Signature
