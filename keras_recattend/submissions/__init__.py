"""What the benchmarks' servers take: files made from label maps, image by image."""
