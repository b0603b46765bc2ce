// Package run keeps what a training run leaves on disk in one folder:
//
//	config.yaml     the resolved configuration
//	metrics.jsonl   one object for each update or evaluation, see [Metrics]
//	events.out.…    the same for TensorBoard
//	*.jsonl         other records, such as samples, one a line
//	*               checkpoints and other files, under the names their writers give
//	.lock           held while a process has the folder open
//
// A process may be killed, or the disk may fill, at any moment: a file is then
// either the old one or the new one, and a .jsonl file has whole lines only.
//
// The package is not for what the numbers mean and does not choose which
// checkpoint is best. It guards against accidents, not against malice: the
// checksum of a checkpoint proves that it is undamaged, not who wrote it.
//
// A Folder may be used by several goroutines at once.
package run
