"""The control plane: environments, models, runs. It never imports Flask, cv2 or torch."""
