/** Has Python run a job that is not there, in the folder that is its argument, and prints the step of each event. */
import {writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {defaultPython as python} from '../../../src/cli/start_program';
import {runTorch} from '../../../src/cli/torch/process';

const folder = process.argv[2]!;
const files = {job: join(folder, 'job.json'), log: join(folder, 'torch.log')};
writeFileSync(files.log, '');
const hold = () => () => undefined;
for await (const event of runTorch({python, processes: 1, ...files, hold}))
  if ('step' in event) process.stdout.write(`${event.step}\n`);
