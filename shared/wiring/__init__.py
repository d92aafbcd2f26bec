"""What deployments have in common, put together once; what is a function's own, it adds itself."""
