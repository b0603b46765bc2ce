// Package pytorch imports accept/reject actors that were trained elsewhere: the
// tensors of a .pth or .pt file of torch.save, or of a .safetensors file, become
// the layers of a [proxy.Model].
//
//   - [Open] lists a file's tensors; their values stay on the disk until they are
//     asked for, so that opening a whole LLM by mistake costs nothing.
//   - [Import] finds an actor among them: an optional LayerNorm, then linear
//     layers down to two outputs, under whatever names.
//
// Files need not be trusted. A .pth file is a pickle, which in Python can run
// anything; here nothing is ever run. Of the pickle language only what torch.save
// writes for tensors in dictionaries is read, all else is refused before it is
// decoded, and no length is believed that the file does not hold.
//
// The package is not for training, for critics or for whole modules (save the
// state_dict), and what the activation was, no file says: that is for the user to
// tell. A File may be shared by goroutines.
package pytorch
