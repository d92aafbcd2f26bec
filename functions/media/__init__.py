"""Pictures that staff sent: checked, resized and published. The only deployment that carries an image library."""
