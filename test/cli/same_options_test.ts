import {expect} from 'chai';
import type {Candidate} from '../../src/checkpoint/check_fits';
import {finetuneOptions, type FinetuneSettings} from '../../src/cli/finetune_options';
import {checkSameOptions, checkSameSteps, lastingOptions} from '../../src/cli/same_options';
import {UsageError} from '../../src/cli/usage_error';

type Name = keyof FinetuneSettings;
const names = Object.keys(finetuneOptions) as Name[];

/** The options of a run that has stopped, as its config.json has them. */
const settingsOf = (own: Partial<FinetuneSettings>): FinetuneSettings => ({
  ...(Object.fromEntries(names.map((name) => [name, finetuneOptions[name].default])) as {
    [N in Name]: FinetuneSettings[N];
  }),
  ...{model: 'm', data: 'd', output: 'o', resume: 'run', ...own},
});

const checkpointOf = (extra: unknown, step = 3, accumulated = 0): Candidate =>
  ({
    path: 'checkpoint.json',
    manifest: {extra, step, optimizer: {counters: {'owlore.accumulated': accumulated}}},
  }) as unknown as Candidate;

/** What a run says that goes on with other options than those of its checkpoint. */
function resume(was: FinetuneSettings, is: FinetuneSettings, steps = 10): string[] {
  const notes: string[] = [];
  // as it is read of its file
  const options: unknown = JSON.parse(JSON.stringify(lastingOptions(was, 10)));
  const checkpoint = checkpointOf({options});
  checkSameOptions(checkpoint, is, {note: (line) => notes.push(line)});
  checkSameSteps(checkpoint, is, steps);
  return notes;
}

/** Another value of an option. */
function other(name: Name, value: unknown): unknown {
  const {choices} = finetuneOptions[name];
  if (choices) return choices.find((each) => each !== value);
  if (typeof value === 'boolean') return !value;
  return typeof value === 'number' ? value + 1 : typeof value === 'string' ? `${value},x` : 7;
}

describe('the options of a run that goes on', () => {
  /** What the user may change meanwhile. */
  const free: readonly Name[] = [
    ...([
      'model',
      'backend',
      'threads',
      'matmulPrecision',
      'output',
      'resume',
      'overwrite',
      'dryRun',
    ] as const),
    ...(['force', 'dtype', 'saveEvery', 'epochs', 'engine'] as const),
    ...(['chatTemplate', 'data', 'validation', 'validationSplit', 'evaluateEvery'] as const),
  ];
  const runs: Array<[string, Partial<FinetuneSettings>]> = [
    ['owlore', {gamma: 2, interval: 5}],
    ['lora', {rank: 8}],
    ['lisa on torch', {method: 'lisa', engine: 'torch', python: 'python3' as never, processes: 2}],
  ];
  const compared = new Set<Name>();
  for (const [title, own] of runs) {
    it(`are all those of then but what does not change the training: ${title}`, () => {
      const method = title === 'lora' ? 'lora' : 'owlore';
      const was = settingsOf({method, ...own});
      expect(resume(was, was)).to.deep.equal([]);
      for (const name of names) {
        const is = {...was, [name]: other(name, was[name])};
        let message = '';
        try {
          resume(was, is);
        } catch (error) {
          expect(error).to.be.an.instanceOf(UsageError);
          ({message} = error as Error);
        }
        if (message === '') continue;
        compared.add(name);
        expect(free, message).not.to.include(name);
        expect(message).to.match(/^finetune: the run in run had other options: .* was .* and is /);
      }
    });
  }
  it('are compared unless they are named here', () => {
    const torchOptions = ['python', 'processes', 'parallel'];
    const left = names.filter((name) => !compared.has(name) && !torchOptions.includes(name));
    // `--steps` is one of those in the place of epochs: the steps of the run are compared
    expect(left.filter((name) => name !== 'steps').sort()).to.deep.equal([...free].sort());
  });

  it('are named with both values', () => {
    const was = settingsOf({gamma: 2});
    expect(() => resume(was, {...was, gamma: undefined, rank: 3})).to.throw(
      'had other options: gamma was 2 and is not given; rank was 128 and is 3; give its config.json those of then',
    );
  });

  it('may have a file of scores elsewhere, and no other scores', () => {
    const was = settingsOf({scores: 'run/scores.json'});
    expect(resume(was, {...was, scores: 'moved.json'})).to.deep.equal([]);
    expect(() => resume(was, {...was, scores: 'uniform'})).to.throw('"a file" and is "uniform"');
  });

  it('may have more steps at a learning rate that does not depend on them, and not fewer than were made', () => {
    const was = settingsOf({schedule: 'constant'});
    expect(resume(was, was, 11)).to.deep.equal([]);
    expect(() => resume(was, was, 2)).to.throw('has made 3 steps, and its options say 2 in all');
    const falling = settingsOf({});
    expect(() => resume(falling, falling, 11)).to.throw(
      /steps was 10 and is 11; .* To train for longer, .* finetune --model run.model$/,
    );
    const begun = checkpointOf({options: lastingOptions(was, 3)}, 3, 1);
    expect(() => checkSameSteps(begun, was, 3)).to.throw('3 in all');
  });

  it('are told where they only round in another way', () => {
    const was = settingsOf({});
    expect(resume(was, {...was, matmulPrecision: 'medium'})).to.deep.equal([
      'run: matmulPrecision was "highest" and is "medium", so that it goes on with other rounding',
    ]);
  });

  it('are in its checkpoint', () => {
    for (const extra of [null, {}, {options: [1]}])
      expect(() => checkSameOptions(checkpointOf(extra), settingsOf({}), console as never)) //
        .to.throw('run: its checkpoint has no options of a run in extra; got');
  });
});
