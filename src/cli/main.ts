#!/usr/bin/env node
import {exitCodes, runProgram} from './program';

const interruption = new AbortController();
// `on`, not `once`: a second Ctrl-C must not interrupt the cleaning up after the first
process.on('SIGINT', () => {
  interruption.abort();
  process.exit(exitCodes.interrupted);
});
// a reader such as `head` has seen enough
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(exitCodes.done);
});

const {stdin, stdout, stderr} = process;
process.exitCode = await runProgram(process.argv.slice(2), {
  ...{stdin, stdout, stderr},
  signal: interruption.signal,
});
