"""The parts of tools/build_emoji.py: from npm packages to the file that mmalign ships."""
