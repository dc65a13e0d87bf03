"""What runs on this machine: weights by digest, Whisper behind one dispatcher, the speech gate, the diarizer."""
