"""The compiled parts of training: program, epoch, step, batches, shuffling."""
