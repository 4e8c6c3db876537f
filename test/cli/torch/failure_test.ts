import {expect} from 'chai';
import {causeIn} from '../../../src/cli/torch/failure';

// the lines are those of torch 2.15, but for the paths
const loading = 'Loading weights: 100%|██████████| 75/75 [00:00<00:00, 4169.51it/s]';
const gloo = '/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc';
const mismatch = [
  "terminate called after throwing an instance of 'gloo::EnforceNotMet'",
  `  what():  [enforce fail at ${gloo}:464] op.preamble.length <= op.nbytes. 9616 vs 2208. Is there a distributed collective mismatch in your code?`,
];
const lost = [
  'Traceback (most recent call last):',
  '  File "python/finetune.py", line 25, in main',
  '    Training(job, parallel, events).run()',
  `RuntimeError: [${gloo}:545] Read error [127.0.0.1]:21185: Connection reset by peer.`,
  `finetune.py has failed: RuntimeError: [${gloo}:545] Read error [127.0.0.1]:21185: Connection reset by peer.`,
];
const torchrun = (...signals: string[]): string[] => [
  'W1130 02:58:19.826000 22442 api.py:1028] Sending process 22550 closing signal SIGTERM',
  'E1130 02:58:20.006000 22442 api.py:1002] failed (exitcode: -6) local_rank: 0 (pid: 22549)',
  'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ',
  ...signals.map((signal) => `  traceback : ${signal}`),
];
const signalOf = (name: string, pid: number): string => `Signal ${name} received by PID ${pid}`;

describe('causeIn', () => {
  for (const [what, lines, cause] of [
    [
      'what C++ has said before it aborted a process, also if another one is the first to end its lines',
      [loading, ...mismatch, ...lost, ...torchrun(signalOf('6 (SIGABRT)', 22549))],
      'op.preamble.length <= op.nbytes. 9616 vs 2208. Is there a distributed collective mismatch in your code?',
    ],
    [
      'the same after the error of a process that has lost that one',
      [...lost, ...mismatch, ...torchrun(signalOf('6 (SIGABRT)', 22549))],
      'op.preamble.length <= op.nbytes. 9616 vs 2208. Is there a distributed collective mismatch in your code?',
    ],
    [
      'the exception of the process that failed, among those of others that have lost it',
      [
        ...lost,
        'Traceback (most recent call last):',
        'finetune.py has failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB',
        ...lost,
        ...torchrun(),
      ],
      'OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB',
    ],
    [
      'of two exceptions the first',
      ['finetune.py has failed: KeyError: 1', 'finetune.py has failed: KeyError: 2'],
      'KeyError: 1',
    ],
    [
      'a process that was killed, where the others have lost it',
      [...lost, ...torchrun(signalOf('15 (SIGTERM)', 22550), signalOf('9 (SIGKILL)', 22549))],
      'Signal 9 (SIGKILL) received by PID 22549, as when there is no memory left',
    ],
    ['a lost process, where nothing is known of it', lost, lost.at(-1)!.slice(24)],
    [
      'an exception of Python before finetune.py runs',
      [
        'Traceback (most recent call last):',
        "ModuleNotFoundError: No module named 'torch.distributed.run'",
      ],
      "ModuleNotFoundError: No module named 'torch.distributed.run'",
    ],
    [
      'what torchrun says of its options',
      ['usage: launch.py [-h]', 'launch.py: error: argument --nnodes: invalid value'],
      'launch.py: error: argument --nnodes: invalid value',
    ],
    ['nothing in what is no error', ['error: of nobody', 'a warning: Error: 1', loading], null],
  ] as const) {
    it(`finds ${what}`, () => expect(causeIn(lines)).to.equal(cause));
  }
});
