// Package sweep is the plan and the record of a sweep: the runs that a grid of settings makes, and a file that says how far
// each of them is.
//
// It is not for doing them: package main opens a run for each cell, and package report draws what came of it. It opens no
// file but the ones that it is told to read. Values are plain data.
package sweep
