#!/usr/bin/env node
import {Interruption, stopSignals, type StopSignal} from './interruption';
import {exitCodes, runProgram} from './program';

const {stdin, stdout, stderr} = process;

const interruption = new Interruption((code) => process.exit(code));
for (const name of Object.keys(stopSignals) as StopSignal[]) {
  process.on(name, () => interruption.receive(name));
}

stdout.on('error', ({code, message}: NodeJS.ErrnoException) => {
  // a reader such as `head` has seen enough
  if (code === 'EPIPE') process.exit(exitCodes.done);
  stderr.write(
    `error: the result cannot be written to stdout: ${message}; send it to another place\n`,
  );
  process.exit(exitCodes.failed);
});
// without messages and progress the work goes on: it may be a training of hours whose terminal was closed
stderr.on('error', () => undefined);

process.exitCode = await runProgram(process.argv.slice(2), {stdin, stdout, stderr, interruption});
