"""What tests share: browsers, networks, cheap players, and judges of sound."""
