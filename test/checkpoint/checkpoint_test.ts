import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  OwLoreOptimizer,
  resumeCheckpoint,
  saveCheckpoint,
  type CheckpointParts,
  type ResumeCheckpointOptions,
  type SaveCheckpointOptions,
} from '../../src/index';
import {MAX_JSON_BYTES} from '../../src/files/json';
import type {Manifest} from '../../src/checkpoint/manifest';
import {layerWeights} from '../../src/checkpoint/parts';
import {restoreWeights} from '../../src/checkpoint/resume_checkpoint';
import {commitCheckpoint, filesOfState} from '../../src/checkpoint/save_checkpoint';
import {parseSafetensors, serializeSafetensors, type HostTensor} from '../../src/files/safetensors';
import {kernelModules} from '../../src/kernels/kernel_modules';
import {openFilesIn} from '../support/open_files';
import {rejection} from '../support/rejection';
import {held} from '../support/sentinels';
import {expectWarning} from '../support/warnings';
import {SmallTraining, type SmallTrainingOptions} from './small_training';

type Files = Map<string, Uint8Array>;

const options: SmallTrainingOptions = {optimizer: {accumulate: 2, clipNorm: 1}};

/** Runs `body` with a new training, which it disposes of. */
async function withTraining<T>(
  body: (training: SmallTraining) => Promise<T>,
  chosen = options,
): Promise<T> {
  const training = new SmallTraining(chosen);
  try {
    return await body(training);
  } finally {
    training.dispose();
  }
}

/** A target with a checkpoint after each of these numbers of batches. */
function filesAfter(stops: readonly number[], save: SaveCheckpointOptions = {}): Promise<Files> {
  return withTraining(async (training) => {
    const files: Files = new Map();
    let done = 0;
    for (const stop of stops) {
      await training.train(stop - done);
      done = stop;
      await saveCheckpoint(files, training.parts, save);
    }
    return files;
  });
}

type MadeModel = CheckpointParts & {model: tfl.LayersModel};

/** A step towards outputs of 0. */
function step({model, optimizer}: MadeModel, x: tf.Tensor): void {
  optimizer.minimize(
    () => tf.tidy(() => tf.sum(tf.square(model.apply(x) as tf.Tensor))),
    false,
    model.weights.map((weight) => weight.read() as tf.Variable),
  );
}

function valuesOf({model}: Pick<CheckpointParts, 'model'>): number[][] {
  return model.getWeights().map((weight) => [...weight.dataSync()]);
}

const manifests = (files: Files | readonly string[]): string[] =>
  [...(files instanceof Map ? files.keys() : files)]
    .filter((path) => path.endsWith('.json'))
    .sort();

async function hashOf(bytes: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', bytes as BufferSource);
  return Buffer.from(hash).toString('hex').slice(0, 32);
}

/** Files with one more checkpoint, the newest, whose checksum is right. */
async function withManifest(files: Files, json: unknown): Promise<Files> {
  const bytes = new TextEncoder().encode(JSON.stringify(json));
  return new Map(files).set(`checkpoint-000002-${await hashOf(bytes)}.json`, bytes);
}

function contents(files: Files, path: string): {model: Array<{file: string}>} {
  return JSON.parse(new TextDecoder().decode(files.get(path))) as {model: Array<{file: string}>};
}

describe('checkpoints', () => {
  let before: ReturnType<typeof held>;
  let folder: string;
  beforeEach(() => {
    before = held();
    folder = mkdtempSync(join(tmpdir(), 'owlore-checkpoint-'));
  });
  afterEach(() => {
    expect(openFilesIn(folder)).to.deep.equal([]);
    rmSync(folder, {recursive: true});
    expect(held()).to.deep.equal(before);
  });

  it('come back from a folder, with what the caller added', () =>
    withTraining(async (first) => {
      await first.train(5);
      const extra = {note: 'five', list: [1, null]};
      const place = {epoch: 2, batches: 7, metric: 0.5, extra};
      const saved = await saveCheckpoint(folder, first.parts, place);
      expect(readdirSync(folder)).to.include(saved.path);
      const end = await first.snapshot();
      await withTraining(
        async (second) => {
          const resumed = await resumeCheckpoint(folder, second.parts);
          const {path} = saved;
          expect(resumed).to.deep.equal({path, step: 2, ...place});
          expect(await second.snapshot()).to.deep.equal(end);
          expect(second.optimizer.accumulated).to.equal(1);
        },
        {...options, seed: 2},
      );
    }));

  it('may count steps of variables of other models, which have no state', async () => {
    const files = await filesAfter([3]);
    const json = contents(files, manifests(files)[0]!) as unknown as Manifest;
    json.optimizer.counters['elsewhere/owlore.clocks'] = [0, 0, -1, 0];
    const changed = await withManifest(files, json);
    await withTraining(async (first) => {
      await first.train(3);
      await withTraining(
        async (second) => {
          await resumeCheckpoint(changed, second.parts);
          expect(await second.snapshot()).to.deep.equal(await first.snapshot());
        },
        {...options, seed: 2},
      );
    });
  });

  it('are an error, and no more, where a folder cannot be listed', () =>
    withTraining(async ({parts}) => {
      const files: Files = new Map();
      const {path} = await saveCheckpoint(files, parts);
      const manifest = contents(files, path) as unknown as Manifest;
      const [target, other] = [join(folder, 'a'), join(folder, 'b')];
      symlinkSync(target, other);
      symlinkSync(other, target);
      const unhandled: unknown[] = [];
      const note = (error: unknown): void => void unhandled.push(error);
      process.on('unhandledRejection', note);
      try {
        const saved = await rejection(saveCheckpoint(join(target, 'run'), parts));
        const committed = await rejection(
          commitCheckpoint(join(target, 'run'), parts.optimizer, manifest, 1),
        );
        for (const {message} of [saved, committed]) expect(message).to.match(/ELOOP/);
        // until Node has found that nobody handles a rejection
        await new Promise((resolve) => setTimeout(resolve));
      } finally {
        process.off('unhandledRejection', note);
      }
      expect(unhandled).to.deep.equal([]);
    }));

  it('can be made of files that another program has written', () =>
    withTraining(async (training) => {
      await training.train(3);
      const {path} = await saveCheckpoint(folder, training.parts);
      const manifest = JSON.parse(readFileSync(join(folder, path), 'utf8')) as Manifest;
      const end = await training.snapshot();
      for (const number of [2, 3]) {
        const saved = await commitCheckpoint(folder, training.optimizer, manifest, 1);
        expect(saved.path).to.match(new RegExp(`^checkpoint-00000${number}-`));
        expect(saved.bytes).to.equal(statSync(join(folder, saved.path)).size);
        expect(manifests(readdirSync(folder))).to.deep.equal([saved.path]);
        await withTraining(
          async (resumed) => {
            await resumeCheckpoint(folder, resumed.parts);
            expect(await resumed.snapshot()).to.deep.equal(end);
          },
          {...options, seed: 2},
        );
      }
    }));

  it('give weights to another model of the same layers, and to no other', () =>
    withTraining(async ({parts}) => {
      const files: Files = new Map();
      const {path} = await saveCheckpoint(files, parts);
      const saved = (contents(files, path) as unknown as Manifest).model;
      await withTraining(
        async ({model}) => {
          const layers = layerWeights('test', model);
          const shorter = saved.map((layer) => ({...layer, weights: layer.weights.slice(1)}));
          const start = valuesOf({model});
          expect((await rejection(restoreWeights(files, shorter, layers))).message).to.match(
            /is of another model: it has 1 weights of layer 'stem', where this model has 2; nothing was changed$/,
          );
          expect(valuesOf({model})).to.deep.equal(start);
          await restoreWeights(files, saved, layers);
          expect(valuesOf({model})).to.deep.equal(valuesOf(parts));
        },
        {...options, seed: 2},
      );
    }));

  it('are none where nothing was saved', () =>
    withTraining(async ({parts}) => {
      expect(await resumeCheckpoint(new Map(), parts)).to.equal(null);
      expect(await resumeCheckpoint(join(folder, 'none'), parts)).to.equal(null);
      const file = join(folder, 'checkpoint.json');
      writeFileSync(file, '{}');
      expect(await resumeCheckpoint(join(file, 'none'), parts)).to.equal(null);
      const refused = await rejection(resumeCheckpoint(file, parts));
      expect(refused.message).to.equal(
        `resumeCheckpoint: '${file}' is a file; give the folder that it is in`,
      );
    }));

  it('share the files of layers that have not changed', () =>
    withTraining(
      async (training) => {
        const files: Files = new Map();
        await training.train(1);
        await saveCheckpoint(files, training.parts);
        const [first] = manifests(files);
        const earlier = [...files.keys()];
        await training.train(1);
        const {bytes} = await saveCheckpoint(files, training.parts);
        const second = manifests(files)[1]!;
        const [was, is] = [contents(files, first!), contents(files, second)];
        const on = new Set(training.callback!.activeBlocks);
        expect(on.size).to.equal(1);
        const changed = is.model.flatMap(({file}, i) =>
          file === was.model[i]!.file ? [] : [training.model.layers[i + 1]!.name],
        );
        expect(changed).to.deep.equal(['stem', ...on, 'head']);
        const {optimizer} = is as unknown as {optimizer: {files: string[]}};
        const written = [second, ...optimizer.files, ...is.model.map(({file}) => file)].filter(
          (file) => !earlier.includes(file),
        );
        const size = written.reduce((sum, file) => sum + files.get(file)!.length, 0);
        expect([bytes, written.length]).to.deep.equal([size, 5]);
      },
      {sampling: {gamma: 1, interval: 5}},
    ));

  it('have a large state in files of a size that may be in memory', () => {
    const named = [5, 2 ** 24 - 5, 1, 2 ** 26, 1, 1].map((size, i) => ({
      name: String(i),
      tensor: {size} as tf.Tensor,
    }));
    const parts = filesOfState(named).map((part) => part.map(({name}) => name).join());
    expect(parts).to.deep.equal(['0,1', '2', '3', '4,5']);
    expect(filesOfState([])).to.deep.equal([]);
  });

  it('come back from a state in several files, if no tensor is in two', async () => {
    const files = await filesAfter([3]);
    const text = new TextDecoder().decode(files.get(manifests(files)[0]!));
    const manifest = JSON.parse(text) as {optimizer: {files: string[]}};
    const [whole] = manifest.optimizer.files;
    const tensors = [...parseSafetensors(files.get(whole!)!).tensors];
    const partsAt = async (from: number, to: number): Promise<Files> => {
      const parts = [tensors.slice(0, to), tensors.slice(from)].map((part) =>
        serializeSafetensors(new Map(part)),
      );
      manifest.optimizer.files = [];
      for (const bytes of parts) {
        const name = `${await hashOf(bytes)}.safetensors`;
        manifest.optimizer.files.push(name);
        files.set(name, bytes);
      }
      return withManifest(files, manifest);
    };
    const middle = Math.floor(tensors.length / 2);
    expect(middle).to.be.greaterThan(0);
    await withTraining(async (first) => {
      await first.train(3);
      await withTraining(
        async (second) => {
          await resumeCheckpoint(await partsAt(middle, middle), second.parts);
          expect(await second.snapshot()).to.deep.equal(await first.snapshot());
          const error = await rejection(
            resumeCheckpoint(await partsAt(middle, middle + 1), second.parts),
          );
          expect(error.message).to.match(
            /^resumeCheckpoint: \S+\.safetensors: ".*" is there a second time/,
          );
          expect(await second.snapshot()).to.deep.equal(await first.snapshot());
        },
        {...options, seed: 2},
      );
    });
  });

  it('stay as many as they should, and the best', () =>
    withTraining(async (training) => {
      const files: Files = new Map();
      for (const metric of [3, 1, 2, 4, 5]) {
        await training.train(2);
        await saveCheckpoint(files, training.parts, {keep: 2, metric});
      }
      expect(manifests(files).map((path) => path.slice(0, 17))).to.deep.equal([
        'checkpoint-000002',
        'checkpoint-000004',
        'checkpoint-000005',
      ]);
      for (const [which, step] of [
        ['best', 2],
        ['newest', 5],
      ] as const) {
        await withTraining(async ({parts}) => {
          expect((await resumeCheckpoint(files, parts, {which}))!.step).to.equal(step);
        });
      }
      const needed = manifests(files).flatMap((path) => {
        const {model, optimizer} = contents(files, path) as unknown as {
          model: Array<{file: string}>;
          optimizer: {files: string[]};
        };
        return [path, ...optimizer.files, ...model.map(({file}) => file)];
      });
      expect([...files.keys()].sort()).to.deep.equal([...new Set(needed)].sort());
    }));

  it('leave files of others alone', () =>
    withTraining(async ({parts}) => {
      const others = ['model.safetensors', 'notes.txt', `${'0'.repeat(31)}.safetensors`];
      const files: Files = new Map(others.map((name) => [name, new Uint8Array(1)]));
      for (let i = 0; i < 2; i++) await saveCheckpoint(files, parts, {keep: 1});
      expect([...files.keys()]).to.include.members(others);
    }));

  it('are the best of those that are not damaged', async () => {
    const files: Files = new Map();
    const paths = new Map<number | undefined, string>();
    await withTraining(async (training) => {
      for (const metric of [3, 0.5, 2, undefined, 4]) {
        paths.set(metric, (await saveCheckpoint(files, training.parts, {metric})).path);
        await training.train(2);
      }
    });
    await withTraining(async ({parts}) => {
      for (const [i, metric] of [0.5, 2, 3, 4].entries()) {
        if (i > 0) expectWarning(/^resumeCheckpoint: .* is damaged: .*Going on from checkpoint-/);
        expect((await resumeCheckpoint(files, parts, {which: 'best'}))!.metric).to.equal(metric);
        files.set(paths.get(metric)!, new Uint8Array(1));
      }
      const {message} = await rejection(resumeCheckpoint(files, parts, {which: 'best'}));
      expect(message).to.match(
        /there is no good checkpoint; nothing was changed\. checkpoint-000005/,
      );
    });
  });

  describe('that are damaged', () => {
    const damages: Array<[string, (path: string) => void, RegExp]> = [
      ['missing', (path) => rmSync(path), /the file \S+ is missing/],
      ['cut off', (path) => truncateSync(path, 100), /the file \S+ \(100 bytes\) is not as it was/],
      ['empty', (path) => truncateSync(path, 0), /the file \S+ \(0 bytes\) is not as it was/],
      [
        'changed in a bit',
        (path) => {
          const bytes = readFileSync(path);
          bytes[Math.floor(bytes.length / 2)]! ^= 4;
          writeFileSync(path, bytes);
        },
        /the file \S+ \(\d+ bytes\) is not as it was written/,
      ],
    ];
    for (const [what, damage, message] of damages) {
      it(`are passed over: a file of the newest is ${what}`, async () => {
        const saved = await withTraining(async (training) => {
          await training.train(3);
          await saveCheckpoint(folder, training.parts);
          const end = await training.snapshot();
          const older = readdirSync(folder);
          await training.train(2);
          await saveCheckpoint(folder, training.parts);
          return {end, newer: readdirSync(folder).filter((path) => !older.includes(path))};
        });
        for (const path of saved.newer) {
          // without its JSON file a checkpoint never was one
          if (what === 'missing' && path.endsWith('.json')) continue;
          const bytes = readFileSync(join(folder, path));
          damage(join(folder, path));
          expectWarning(
            /^resumeCheckpoint: checkpoint-000002\S+ is damaged: .*Going on from checkpoint-000001/,
          );
          await withTraining(async (resumed) => {
            await resumeCheckpoint(folder, resumed.parts);
            expect(await resumed.snapshot()).to.deep.equal(saved.end);
          });
          writeFileSync(join(folder, path), bytes);
        }
        for (const path of manifests(readdirSync(folder))) damage(join(folder, path));
        if (what === 'missing') return;
        await withTraining(async (training) => {
          const start = await training.snapshot();
          const {message: text} = await rejection(resumeCheckpoint(folder, training.parts));
          expect(text).to.match(/there is no good checkpoint; nothing was changed/);
          expect(text).to.match(message);
          expect(await training.snapshot()).to.deep.equal(start);
        });
      });
    }

    it('are noticed in a file that is known to be right, because it was written to', () =>
      withTraining(
        async (training) => {
          await training.train(1);
          const {path} = await saveCheckpoint(folder, training.parts);
          const {model} = contents(new Map([[path, readFileSync(join(folder, path))]]), path);
          const file = join(folder, model[2]!.file);
          const right = readFileSync(file);
          // twice: as it was written, and as it was read
          for (let i = 0; i < 2; i++) {
            for (const isDamaged of [false, true]) {
              if (isDamaged) writeFileSync(file, new Uint8Array(right.length));
              const saved = await saveCheckpoint(folder, training.parts);
              const {size} = statSync(join(folder, saved.path));
              expect(saved.bytes).to.equal(size + (isDamaged ? right.length : 0));
              expect(readFileSync(file).equals(right)).to.equal(true);
            }
          }
        },
        {sampling: {gamma: 1, interval: 5}},
      ));

    it('are an error where there are 16: thousands would take minutes to read', async () => {
      const files = await filesAfter([1]);
      const [good] = manifests(files);
      for (let number = 2; number <= 16; number++)
        files.set(good!.replace('000001', String(number).padStart(6, '0')), new Uint8Array(9));
      await withTraining(async (training) => {
        expectWarning(/^resumeCheckpoint: checkpoint-000016\S+ is damaged: .*Going on from/);
        expect((await resumeCheckpoint(files, training.parts))?.path).to.equal(good);
        const start = await training.snapshot();
        files.set(good!.replace('000001', '000017'), new Uint8Array(9));
        const error = await rejection(resumeCheckpoint(files, training.parts));
        expect(error.cause).to.be.instanceOf(Error);
        expect(error.message).to.match(
          /^resumeCheckpoint: 16 checkpoints are damaged, and no others were looked at; nothing was changed\. Remove them, and it goes on from an older one\. The newest: checkpoint-000017\S+ is damaged: /,
        );
        expect(await training.snapshot()).to.deep.equal(start);
      });
    });

    it('are noticed in a map that was right when it was read', () =>
      withTraining(async ({parts}) => {
        const files: Files = new Map();
        const {path} = await saveCheckpoint(files, parts);
        await resumeCheckpoint(files, parts);
        files.get(contents(files, path).model[0]!.file)![99]! ^= 1;
        const {message} = await rejection(resumeCheckpoint(files, parts));
        expect(message).to.match(/ is not as it was written: it is cut off, or bits of it have/);
      }));

    it('go with those that are not kept, and stay where all do', () =>
      withTraining(async ({parts}) => {
        const files: Files = new Map();
        const [first, second] = [
          await saveCheckpoint(files, parts),
          await saveCheckpoint(files, parts),
        ];
        files.set(first.path, new Uint8Array(1));
        const third = await saveCheckpoint(files, parts);
        expect(manifests(files)).to.deep.equal([first.path, second.path, third.path]);
        const fourth = await saveCheckpoint(files, parts, {keep: 3});
        expect(manifests(files)).to.deep.equal([second.path, third.path, fourth.path]);
      }));

    it('do not spoil later ones that have the same weights', async () => {
      await withTraining(
        async (training) => {
          await training.train(1);
          const first = await saveCheckpoint(folder, training.parts);
          const {model} = JSON.parse(readFileSync(join(folder, first.path), 'utf8')) as {
            model: Array<{layer: string; file: string}>;
          };
          for (const {file} of model) truncateSync(join(folder, file), 90);
          await saveCheckpoint(folder, training.parts);
          await withTraining(
            async ({parts}) => {
              expect((await resumeCheckpoint(folder, parts))!.path).to.match(/^checkpoint-000002/);
            },
            {sampling: {gamma: 1}},
          );
        },
        {sampling: {gamma: 1}},
      );
    });
  });

  describe('refuse, and leave everything as it was:', () => {
    const other = (chosen: SmallTrainingOptions): SmallTrainingOptions => ({...options, ...chosen});
    const wrong: Array<[string, SmallTrainingOptions, RegExp]> = [
      [
        'a model with another number of layers',
        other({blocks: 5}),
        /of another model: it has layer 'head' .*, where this model has layer 'b4'/,
      ],
      [
        'an optimizer with other options',
        other({optimizer: {accumulate: 2, clipNorm: 2}}),
        /with another optimizer: clipNorm was 1 and is 2; use the options of then; nothing was changed/,
      ],
      [
        'a callback with other options',
        other({sampling: {seed: 3}}),
        /with another callback: seed was 0 and is 3/,
      ],
      [
        'a callback with other scores',
        other({sampling: {scores: [1, 2, 3, 4]}}),
        /with another callback: scores was .*; save the scores of a run with it, since those of other weights are others; nothing/,
      ],
      ['no callback', other({sampling: null}), /was saved with callback, which is missing here/],
    ];
    for (const [what, chosen, message] of wrong) {
      it(what, async () => {
        const files = await filesAfter([3]);
        await withTraining(async (training) => {
          const start = await training.snapshot();
          const error = await rejection(resumeCheckpoint(files, training.parts));
          expect(error.message).to.match(message);
          expect(await training.snapshot()).to.deep.equal(start);
        }, chosen);
      });
    }

    it('a part that was not saved, and the lack of one that was', async () => {
      const parts = ['callback', 'data'] as const;
      for (const name of parts) {
        for (const isSaved of [true, false]) {
          const files: Files = new Map();
          const given = (training: SmallTraining, has: boolean): CheckpointParts =>
            has ? training.parts : {...training.parts, [name]: undefined};
          await withTraining((training) => saveCheckpoint(files, given(training, isSaved)));
          await withTraining(async (training) => {
            const start = await training.snapshot();
            const error = await rejection(resumeCheckpoint(files, given(training, !isSaved)));
            expect(error.message).to.match(
              isSaved
                ? new RegExp(`was saved with ${name}, which is missing here; pass it, too; nothing`)
                : new RegExp(`was saved without ${name}; leave it out, or start anew; nothing`),
            );
            expect(await training.snapshot()).to.deep.equal(start);
            await resumeCheckpoint(files, given(training, isSaved));
          });
        }
      }
    });

    it('an option that only one of both has, or that is another', async () => {
      const files = await filesAfter([1]);
      const manifest = contents(files, manifests(files)[0]!) as unknown as Manifest;
      const {settings} = manifest.optimizer;
      const {clipNorm, ...others} = settings;
      expect(clipNorm).to.equal(1);
      const long = 'x'.repeat(600);
      for (const [changed, message] of [
        [others, /another optimizer: clipNorm was not given and is 1; use the options of then; /],
        [{...settings, other: 'x'}, /another optimizer: other was "x" and is not given; use/],
        [
          {...settings, decay: ['elsewhere', {toString: null}]},
          /decay was \["elsewhere",\{"toString":null\}\] and is /,
        ],
        [{...settings, [long]: long}, /: x{500}… was "x{199}… and is not given; use/],
      ] as const) {
        manifest.optimizer.settings = changed;
        const changedFiles = await withManifest(files, manifest);
        await withTraining(async ({parts}) => {
          const error = await rejection(resumeCheckpoint(changedFiles, parts));
          expect(error.message).to.match(message);
        });
      }
    });

    it('a model that has no more layers, or further ones', async () => {
      const make = (count: number): CheckpointParts => ({
        model: tfl.sequential({
          layers: Array.from({length: count}, (_, i) =>
            tfl.layers.dense({units: 2, inputShape: [2], name: `layer${i}`, useBias: false}),
          ),
        }),
        optimizer: new OwLoreOptimizer({project: false}),
      });
      const [two, three] = [make(2), make(3)];
      for (const [saved, other, message] of [
        [three, two, /it has layer 'layer2' .*, where this model has no further layer; nothing/],
        [two, three, /it has no further layer, where this model has layer 'layer2' with 1 weights/],
      ] as const) {
        const files: Files = new Map();
        await saveCheckpoint(files, saved);
        expect((await rejection(resumeCheckpoint(files, other))).message).to.match(message);
      }
      for (const {model, optimizer} of [two, three]) {
        optimizer.dispose();
        model.dispose();
      }
    });

    it('weights of other shapes', async () => {
      const files = await filesAfter([3]);
      const model = tfl.sequential({name: 'other'});
      for (const [i, name] of ['stem', 'b0', 'b1', 'b2', 'b3', 'head'].entries()) {
        model.add(tfl.layers.dense({name, units: 9, inputShape: i === 0 ? [6] : undefined}));
      }
      await withTraining(async (training) => {
        const error = await rejection(resumeCheckpoint(files, {...training.parts, model}));
        expect(error.message).to.match(
          /in layer 'stem' the weight 'stem\/kernel\S*' has the shape \[6,8\], where this model has \[6,9\]/,
        );
        expect(training.callback!.steps).to.equal(0);
      });
      model.dispose();
    });

    it('data that do not take their state, and moments that are not finite', async () => {
      const files = await withTraining(async (training) => {
        await training.train(4);
        const [bias] = training.model.getLayer('head').getWeights(true).slice(1);
        const infinite: Files = new Map();
        const getWeights = training.optimizer.getWeights.bind(training.optimizer);
        const wrongMoment = tf.fill([1], Infinity);
        training.optimizer.getWeights = async () =>
          (await getWeights()).map((entry) =>
            /head\/bias\S*moment1/.test(entry.name) ? {...entry, tensor: wrongMoment} : entry,
          );
        await saveCheckpoint(infinite, training.parts);
        expect(bias!.shape).to.deep.equal([1]);
        wrongMoment.dispose();
        return infinite;
      });
      await withTraining(async (training) => {
        await training.train(1);
        const start = await training.snapshot();
        const {message} = await rejection(resumeCheckpoint(files, training.parts));
        expect(message).to.match(/must be finite; it has a Infinity; nothing was loaded/);
        expect(await training.snapshot()).to.deep.equal(start);
        const data = {
          state: () => ({}),
          restore: () => {
            throw new Error('other data');
          },
        };
        const error = await rejection(resumeCheckpoint(files, {...training.parts, data}));
        expect(error.message).to.match(
          /^resumeCheckpoint: checkpoint-000001-\w+\.json: other data$/,
        );
        expect((error.cause as Error).message).to.equal('other data');
        expect(await training.snapshot()).to.deep.equal(start);
      });
    });

    it('fields of a wrong form, whose checksum is right', async () => {
      const files = await filesAfter([3]);
      const [path] = manifests(files);
      const text = new TextDecoder().decode(files.get(path!));
      const fields: Array<[string, unknown, RegExp]> = [
        ['step', -1, /step must be an integer >= 0 and <= \d+; got -1/],
        ['step', 2, /optimizer\.counters\.iter must be the step, 2; got 1/],
        ['step', 999_999_999_999_999, /step must be an integer >= 0 and <= 1000000000; got 9{15}/],
        ['epoch', 2 ** 53, /epoch must be .* <= 1000000000; got 9007199254740992/],
        ['batches', 1e10, /batches must be .* <= 1000000000; got 10000000000/],
        ['epoch', '2', /epoch must be an integer .*; got '2'/],
        ['batches', -1, /batches must be an integer >= 0 .*; got -1/],
        ['metric', 'low', /metric must be a number; got 'low'/],
        ['backend', null, /backend must be the name of a backend; got null/],
        ['kernels', undefined, /kernels must be an object, or null; got nothing/],
        ['model', {}, /model must be a list of layers; got \{\}/],
        ['model.0', null, /model\[0\] must be an object \{layer, weights, file\}; got null/],
        ['model.1.layer', 1, /model\[1\]\.layer must be the name of a layer; got 1/],
        ['model.1.weights', ['a', 2], /model\[1\]\.weights must be a list of names; got/],
        ['model.1.weights', ['a', 'a'], /weights must be names that stand nowhere else; got "a"/],
        ['model.1.file', '../../a.safetensors', /model\[1\]\.file must be the name of a file, /],
        ['optimizer', 1, /optimizer must be an object \{settings, counters, files\}; got 1/],
        ['optimizer.files', 'x', /optimizer\.files must be a list of files; got "x"/],
        ['optimizer.files.0', 'x', /optimizer\.files\[0\] must be the name of a file, .*; got "x"/],
        ['optimizer.files.0', [`${'0'.repeat(32)}.safetensors`], /must be the name of a file, /],
        ['optimizer.settings', [], /optimizer\.settings must be an object of options; got \[\]/],
        ['optimizer.settings.learningRate', -1, /optimizer\.settings: learningRate .* got -1/],
        [
          'optimizer.settings.learningRate',
          {kind: {toString: null}},
          /optimizer\.settings: learningRate must be a number >= 0, a schedule/,
        ],
        ['optimizer.counters', [], /optimizer\.counters must be numbers by name, .* got \[\]/],
        [
          'optimizer.counters.owlore\\.accumulated',
          2 ** 31,
          /counters: "owlore\.accumulated" must be an integer from 0 to 1000000000; got 2147483648/,
        ],
        [
          'optimizer.counters.owlore\\.skipped',
          2 ** 31 - 1,
          /counters: "owlore\.skipped" must be an integer from 0 to 1000000000; got 2147483647/,
        ],
        ['optimizer.counters.owlore\\.other', 1, /"owlore\.other" is no counter of this/],
        ['callback', 1, /callback must be null, or an object \{settings, state\}; got 1/],
        ['callback.settings', null, /callback\.settings must be an object of options; got null/],
        ['callback.state', [], /callback\.state: a state must be \{blocks, .*\}, .*; got \[\]/],
        ['callback.state.blocks', 'b0', /callback\.state: blocks must be a list of names, .*'b0'/],
        ['callback.state.periods.0', ['b9'], /periods\[0\] must be names of its blocks, .* 'b9'/],
        ['callback.state.probabilities', [], /probabilities must be null, or what /],
        ['callback.state.probabilities.shares', [1], /shares must be a number >= 0 for each/],
        ['callback.state.steps', 0.5, /callback\.state: steps must be an integer .*; got 0\.5/],
        ['callback.state.steps', 2e9, /steps must be .* <= 1000000000; got 2000000000/],
        ['callback.state.open', 1, /open must be null, or \{iterations, accumulated\}, .*; got 1/],
      ];
      await withTraining(async (training) => {
        await training.train(1);
        const start = await training.snapshot();
        for (const [field, value, message] of fields) {
          const json = JSON.parse(text) as Record<string, unknown>;
          const keys = field.split(/(?<!\\)\./).map((key) => key.replace('\\', ''));
          const parent = keys
            .slice(0, -1)
            .reduce((part, key) => part[key] as Record<string, unknown>, json);
          parent[keys.at(-1)!] = value;
          const changed = await withManifest(files, json);
          const error = await rejection(resumeCheckpoint(changed, training.parts));
          expect(error.message, field).to.match(message);
          expect(error.message).to.match(/^resumeCheckpoint: checkpoint-000002-\w+\.json: /);
          expect(await training.snapshot()).to.deep.equal(start);
        }
      });
    });

    it('files that are no tensors, whose checksum is right', async () => {
      const files = await filesAfter([3]);
      const [path] = manifests(files);
      const text = new TextDecoder().decode(files.get(path!));
      const {model, optimizer} = JSON.parse(text) as Manifest;
      const bytes = new Uint8Array(20).fill(1);
      const name = `${await hashOf(bytes)}.safetensors`;
      await withTraining(async (training) => {
        await training.train(1);
        const start = await training.snapshot();
        for (const file of [model[1]!.file, optimizer.files[0]!]) {
          const changed = await withManifest(files, JSON.parse(text.replace(file, name)));
          const error = await rejection(resumeCheckpoint(changed.set(name, bytes), training.parts));
          expect(error.message).to.match(
            new RegExp(`^resumeCheckpoint: ${name}: safetensors: the header should end at byte `),
          );
          expect(await training.snapshot()).to.deep.equal(start);
        }
      });
    });

    it('files of tensors of a wrong form, whose checksum is right', async () => {
      const files = await filesAfter([3]);
      const [path] = manifests(files);
      const text = new TextDecoder().decode(files.get(path!));
      const {model, optimizer} = JSON.parse(text) as {
        model: Array<{weights: string[]; file: string}>;
        optimizer: {files: string[]};
      };
      const [layer, state] = [model[1]!.file, optimizer.files[0]!];
      const [kernel, bias] = model[1]!.weights as [string, string];
      type Tensors = Map<string, HostTensor>;
      const one = {shape: [1], values: new Float32Array(1)};
      const changes: Array<[string, (tensors: Tensors) => unknown, RegExp]> = [
        [layer, (all) => all.delete(kernel), /lacks the weight "b0\/kernel\S*" of layer 'b0'/],
        [layer, (all) => all.set('x', one), /has "x", which is no weight of layer 'b0'/],
        [layer, (all) => all.set(bias, one), /'b0\/bias\S*' has the shape \[1\], where this model/],
        [state, (all) => all.set('x', one), /'x' is not a state of this optimizer/],
        [
          state,
          (all) => all.set('x/owlore.moment1', one),
          /"x\/owlore\.moment1" is the state of what is no weight of the model/,
        ],
        [
          state,
          (all) => {
            const [first] = [...all].find(([name]) => name.endsWith('moment2'))!;
            all.get(first)!.values[0] = -1;
          },
          /moment2' must be finite and not negative; it has a -1/,
        ],
      ];
      await withTraining(async (training) => {
        await training.train(1);
        const start = await training.snapshot();
        for (const [file, change, message] of changes) {
          const {tensors} = parseSafetensors(files.get(file)!);
          change(tensors);
          const bytes = serializeSafetensors(tensors);
          const name = `${await hashOf(bytes)}.safetensors`;
          const changed = await withManifest(files, JSON.parse(text.replace(file, name)));
          const error = await rejection(resumeCheckpoint(changed.set(name, bytes), training.parts));
          expect(error.message).to.match(message);
          expect(error.message.startsWith(`resumeCheckpoint: ${name}`)).to.equal(true);
          expect(await training.snapshot()).to.deep.equal(start);
        }
      });
    });

    it('a file that is larger than its weights can be, before it is read', async () => {
      await withTraining(async (training) => {
        await training.train(1);
        const {path} = await saveCheckpoint(folder, training.parts);
        const manifest = JSON.parse(readFileSync(join(folder, path), 'utf8')) as Manifest;
        const sizeOf = (layer: tfl.layers.Layer): number => layer.countParams();
        const {layers} = training.model;
        const all = layers.reduce((sum, layer) => sum + sizeOf(layer), 0);
        // two moments, a sum and a basis
        for (const [file, numbers] of [
          [manifest.optimizer.files[0]!, 4 * all],
          [manifest.model[0]!.file, sizeOf(layers[1]!)],
        ] as const) {
          // takes no room on the disk
          truncateSync(join(folder, file), 2 ** 40);
          const {message} = await rejection(resumeCheckpoint(folder, training.parts));
          expect(message).to.include(
            `the file ${file} has 1099511627776 bytes, where no more than ${4 * numbers + MAX_JSON_BYTES} can be in it`,
          );
        }
      });
    });

    it('a number after which no other could be saved', async () => {
      const files = await filesAfter([2]);
      const [path] = manifests(files);
      const last = path!.replace('000001', '999999999999999');
      files.set(last, files.get(path!)!);
      await withTraining(async (training) => {
        await training.train(1);
        const start = await training.snapshot();
        for (const [owner, call, max] of [
          ['resumeCheckpoint', resumeCheckpoint, 1e9],
          ['saveCheckpoint', saveCheckpoint, 2e9],
        ] as const) {
          expect((await rejection(call(files, training.parts))).message).to.equal(
            `${owner}: the checkpoint ${last} has a number above ${max}, after which no other could be saved; ` +
              'no training has written it: remove it',
          );
        }
        expect(await training.snapshot()).to.deep.equal(start);
        files.delete(last);
        expect((await resumeCheckpoint(files, training.parts))?.path).to.equal(path);
      });
    });

    it('no number of what resumes when the next ones are saved', async () => {
      const files: Files = new Map();
      await withTraining(async (training) => {
        await training.train(1);
        await saveCheckpoint(files, training.parts);
        const [path] = manifests(files);
        files.set(path!.replace('000001', '1000000000'), files.get(path!)!);
        files.delete(path!);
        await resumeCheckpoint(files, training.parts);
        for (const next of [1, 2, 3]) {
          await training.train(1);
          const saved = await saveCheckpoint(files, training.parts, {keep: 2});
          expect(saved.path).to.match(new RegExp(`^checkpoint-100000000${next}-`));
        }
      });
    });

    it('another format', async () => {
      const files = await filesAfter([2]);
      const other = await withManifest(files, {
        ...contents(files, manifests(files)[0]!),
        format: 'x',
      });
      await withTraining(async ({parts}) => {
        expect((await rejection(resumeCheckpoint(other, parts))).message).to.match(
          /is of the format 'x', version 3; this version of tfjs-owlore reads 'tfjs-owlore checkpoint', version 3$/,
        );
      });
    });

    it('another version of the format', async () => {
      let files = await filesAfter([2]);
      const [path] = manifests(files);
      const json = JSON.parse(new TextDecoder().decode(files.get(path!))) as object;
      files = await withManifest(files, {...json, version: 1});
      await withTraining(async ({parts}) => {
        for (const error of [
          await rejection(resumeCheckpoint(files, parts)),
          await rejection(saveCheckpoint(files, parts, {keep: 1})),
        ]) {
          expect(error.message).to.match(
            /format 'tfjs-owlore checkpoint', version 1; this version .* reads .* version 3/,
          );
        }
      });
    });

    it('arguments that are wrong', () =>
      withTraining(async ({parts}) => {
        const saves: Array<[object, SaveCheckpointOptions, RegExp]> = [
          [parts, {keep: 0}, /keep must be an integer >= 1; got 0/],
          [parts, {metric: NaN}, /metric must be a number; got NaN/],
          [parts, {epoch: -1}, /epoch must be an integer >= 0 and <= 1000000000; got -1/],
          [
            parts,
            {extra: {n: 1n}},
            /extra must be plain JSON; got an object of class Object: .*BigInt/,
          ],
          [parts, {extra: () => 1}, /extra must be plain JSON; got a function/],
          [
            parts,
            {extra: {best: [1, NaN]}},
            /extra must be plain JSON; .*: extra\.best\[1\] is NaN/,
          ],
          [parts, {extra: [undefined]}, /extra must be plain JSON; .*: extra\[0\] is undefined/],
          [
            parts,
            {extra: new Map()},
            /extra must be plain JSON; .*: extra is an object of class Map/,
          ],
          [
            parts,
            {
              extra: {
                left: undefined,
                bare: Object.create(null) as object,
                moved: new Float32Array(2),
              },
            },
            /extra must be plain JSON; .*: extra\.moved is an object of class Float32Array/,
          ],
          [
            {...parts, data: {state: () => undefined, restore: () => undefined}},
            {},
            /data\.state\(\) must be plain JSON; got undefined/,
          ],
          [
            {...parts, data: {state: () => null, restore: () => undefined}},
            {},
            /data\.state\(\) must not be null/,
          ],
          // what could not be read again
          [
            parts,
            {extra: JSON.parse(`${'['.repeat(150)}${']'.repeat(150)}`) as unknown},
            /the checkpoint's JSON, with extra and data\.state\(\), is nested more than 100 deep/,
          ],
          [
            parts,
            {extra: 'x'.repeat(100_000_000)},
            /the checkpoint's JSON, .* has 1000\d{5} bytes, more than the 100000000 that are read/,
          ],
          [parts, {every: 2} as SaveCheckpointOptions, /unknown option 'every'/],
          [
            {...parts, model: {}},
            {},
            /model must be a tf.LayersModel; got an object of class Object/,
          ],
          [{...parts, optimizer: 'sgd'}, {}, /optimizer must be an OwLoreOptimizer/],
          [{...parts, callback: {}}, {}, /callback must be a LayerSamplingCallback/],
          [{...parts, optimizer: null}, {}, /optimizer must be an OwLoreOptimizer .*; got null/],
          [{...parts, optimizer: {}}, {}, /optimizer must be an OwLoreOptimizer/],
          [{...parts, callback: null}, {}, /callback must be a LayerSamplingCallback; got null/],
          [{...parts, data: null}, {}, /data must be an object with state\(\) .*; got null/],
          [{...parts, data: {state: () => 1}}, {}, /data must be an object with state\(\)/],
          [{...parts, data: []}, {}, /data must be an object with state\(\) and restore\(state\)/],
          [{...parts, dataset: 1}, {}, /unknown option 'dataset'; did you mean 'data'/],
        ];
        for (const [given, chosen, message] of saves) {
          const files: Files = new Map();
          const error = await rejection(saveCheckpoint(files, given as CheckpointParts, chosen));
          expect(error.message).to.match(message);
          expect(files.size).to.equal(0);
        }
        const {message} = await rejection(saveCheckpoint('https://a/b', parts));
        expect(message).to.match(
          /a target is the path of a folder, a FileSystemDirectoryHandle or a Map/,
        );
        for (const [given, wrong] of [
          [undefined, /options must be a plain object; got undefined/],
          [{optimizer: parts.optimizer}, /model must be a tf.LayersModel; got undefined/],
        ] as const) {
          const refused = await rejection(resumeCheckpoint(new Map(), given as never));
          expect(refused.message).to.match(wrong);
        }
        const which = {which: 'last'} as unknown as ResumeCheckpointOptions;
        const error = await rejection(resumeCheckpoint(new Map(), parts, which));
        expect(error.message).to.match(/which must be one of 'newest', 'best'; got 'last'/);
        const noBest = await rejection(
          resumeCheckpoint(await filesAfter([1]), parts, {which: 'best'}),
        );
        expect(noBest.message).to.match(/no checkpoint has a metric/);
      }));
  });

  it('are written though the optimizer has seen variables that are no weights of the model and were not moved', () =>
    withTraining(async (training) => {
      await training.train(1);
      const {optimizer} = training;
      const [weight] = training.parts.model.trainableWeights;
      const other = tf.tidy(() => tf.variable(tf.ones([2]), true, 'elsewhere'));
      optimizer.minimize(() => tf.sum(weight!.read()));
      optimizer.flush();
      const files: Files = new Map();
      await saveCheckpoint(files, training.parts);
      expect(files.size).to.be.above(0);
      other.dispose();
    }));

  it('are not written while the optimizer is at work, or of variables that are not in the model', () =>
    withTraining(async (training) => {
      await training.train(1);
      const files: Files = new Map();
      const {optimizer} = training;
      const getWeights = optimizer.getWeights.bind(optimizer);
      optimizer.getWeights = async () => {
        await training.train(1);
        return getWeights();
      };
      const error = await rejection(saveCheckpoint(files, training.parts));
      optimizer.getWeights = getWeights;
      expect(error.message).to.match(/the optimizer was called while its state was saved/);
      const other = tf.tidy(() => tf.variable(tf.ones([2]), true, 'elsewhere'));
      optimizer.minimize(() => tf.sum(other), false, [other]);
      optimizer.flush();
      expect((await rejection(saveCheckpoint(files, training.parts))).message).to.match(
        /the optimizer trains the variable 'elsewhere', which is no weight of the model/,
      );
      expect(files.size).to.equal(0);
      other.dispose();
    }));

  it('restore a learning rate that was set, and need a function again', async () => {
    const files = await withTraining(async (training) => {
      training.optimizer.learningRate = 0.25;
      const target: Files = new Map();
      await saveCheckpoint(target, training.parts);
      return target;
    });
    await withTraining(async (training) => {
      training.optimizer.learningRate = () => 0.5;
      await resumeCheckpoint(files, training.parts);
      expect(training.optimizer.learningRate).to.equal(0.25);
      training.optimizer.learningRate = () => 0.125;
      await saveCheckpoint(files, training.parts);
    });
    await withTraining(async (training) => {
      const error = await rejection(resumeCheckpoint(files, training.parts));
      expect(error.message).to.match(/with a learningRate that is a function, .* give it again/);
      training.optimizer.learningRate = () => 0.5;
      await resumeCheckpoint(files, training.parts);
      expect(training.optimizer.learningRate).to.equal(0.5);
    });
  });

  it('go on at a learning rate that was halved', async () => {
    const files: Files = new Map();
    const optimizer = {nonFinite: 'halve'} as const;
    const learningRate = await withTraining(
      async (training) => {
        await training.train(1);
        const [weight] = training.model.weights;
        const right = tf.tidy(() => tf.clone(weight!.read()));
        tf.tidy(() => {
          weight!.write(tf.fill(weight!.shape as number[], Infinity));
        });
        await training.train(1);
        weight!.write(right);
        right.dispose();
        await saveCheckpoint(files, training.parts);
        return training.optimizer.learningRate;
      },
      {optimizer},
    );
    expect(learningRate).to.equal(0.025);
    await withTraining(
      async (training) => {
        await resumeCheckpoint(files, training.parts);
        expect(training.optimizer.learningRate).to.equal(0.025);
      },
      {optimizer},
    );
  });

  it('go on in a model whose layers tfjs has given other names, in the same program', async () => {
    const make = (units: number): MadeModel => {
      const layers = [
        tfl.layers.dense({units, inputShape: [3]}),
        tfl.layers.dense({units: 1, useBias: false}),
      ];
      const optimizer = new OwLoreOptimizer({project: false});
      return {model: tfl.sequential({layers}), optimizer};
    };
    const [saved, resumed, other] = [make(4), make(4), make(5)];
    expect(resumed.model.layers[0]!.name).not.to.equal(saved.model.layers[0]!.name);
    const files: Files = new Map();
    const x = tf.ones([2, 3]);
    step(saved, x);
    await saveCheckpoint(files, saved);
    await resumeCheckpoint(files, resumed);
    step(saved, x);
    step(resumed, x);
    expect(valuesOf(resumed)).to.deep.equal(valuesOf(saved));
    expect((await rejection(resumeCheckpoint(files, other))).message).to.match(
      /is of another model: in layer 'dense_Dense\d+' the weight .* has the shape \[3,4\]/,
    );
    for (const each of [saved, resumed, other]) {
      each.optimizer.dispose();
      each.model.dispose();
    }
    x.dispose();
  });

  it('go on in nested models without names, of as many layers, however many these are', async () => {
    /** A sequential model, and one of the other kind, inside a third. */
    const make = (depth: number): CheckpointParts => {
      const dense = (units = 2): tfl.layers.Layer => tfl.layers.dense({units, inputShape: [2]});
      const inner = tfl.sequential({layers: Array.from({length: depth}, () => dense())});
      const [input, outer] = [tfl.input({shape: [2]}), tfl.input({shape: [2]})];
      const other = tfl.model({inputs: input, outputs: dense(1).apply(input) as never});
      const outputs = other.apply(inner.apply(outer)) as tfl.SymbolicTensor;
      const model = tfl.model({inputs: outer, outputs});
      return {model, optimizer: new OwLoreOptimizer({project: false})};
    };
    const [saved, resumed, longer] = [make(16), make(16), make(18)];
    const files: Files = new Map();
    await saveCheckpoint(files, saved);
    await resumeCheckpoint(files, resumed);
    expect(valuesOf(resumed)).to.deep.equal(valuesOf(saved));
    const start = valuesOf(longer);
    expect((await rejection(resumeCheckpoint(files, longer))).message).to.match(
      /another model: it has layer 'sequential_\d+' with 32 weights: .*, where .* with 36 weights: /,
    );
    expect(valuesOf(longer)).to.deep.equal(start);
    for (const {model, optimizer} of [saved, resumed, longer]) {
      optimizer.dispose();
      model.dispose();
    }
  });

  it('go on in a model of other names with options that pick layers and weights by name', async () => {
    const make = (decayed = 1): MadeModel => {
      const layers = [
        tfl.layers.dense({units: 4, inputShape: [3]}),
        tfl.layers.dense({units: 4}),
        tfl.layers.dense({units: 1, useBias: false, name: 'head'}),
      ];
      const model = tfl.sequential({layers});
      const [first, second, head] = model.layers as [
        tfl.layers.Layer,
        tfl.layers.Layer,
        tfl.layers.Layer,
      ];
      const learningRates = [
        {variables: [second.weights[0]!.read() as tf.Variable].map(({name}) => name), factor: 0.5},
        {variables: [head.name], factor: 2},
      ];
      const decay = [[first, second][decayed]!.name];
      const optimizer = new OwLoreOptimizer({project: [first.name], decay, learningRates, rank: 1});
      return {model, optimizer};
    };
    const [saved, resumed, other] = [make(), make(), make(0)];
    const x = tf.ones([2, 3]);
    step(saved, x);
    const files: Files = new Map();
    await saveCheckpoint(files, saved);
    await resumeCheckpoint(files, resumed);
    for (const each of [saved, resumed]) step(each, x);
    expect(valuesOf(resumed)).to.deep.equal(valuesOf(saved));
    expect((await rejection(resumeCheckpoint(files, other))).message).to.match(
      /saved with another optimizer: decay was \["dense_Dense\d+"\] and is \["dense_Dense\d+"\]/,
    );
    for (const each of [saved, resumed, other]) {
      each.optimizer.dispose();
      each.model.dispose();
    }
    x.dispose();
  });

  it('say that they were saved on another backend, or that kernels cannot run as before', async () => {
    const files = await filesAfter([1]);
    const manifest = contents(files, manifests(files)[0]!) as unknown as Manifest;
    const start =
      'resumeCheckpoint: the training goes on, but not bit by bit as if it had not stopped: ';
    const warned = async (target: Files): Promise<string[]> => {
      const warnings: string[] = [];
      const {warn} = console;
      console.warn = (message: string) => void warnings.push(message);
      try {
        await withTraining(({parts}) => resumeCheckpoint(target, parts));
      } finally {
        console.warn = warn;
      }
      return warnings;
    };
    expect(await warned(files)).to.deep.equal([]);
    const elsewhere = await withManifest(files, {...manifest, backend: 'webgl'});
    expect(await warned(elsewhere)).to.deep.equal([
      `${start}it was saved on the backend 'webgl', and this is '${tf.getBackend()}'`,
    ]);
    const kernels = kernelModules.get(tf.getBackend())!;
    await kernels.load();
    const {loaded} = kernels;
    const histories: unknown[] = [];
    kernels.provide({
      ...loaded!,
      restoreKernelHistory: (history) => {
        histories.push(history);
        return false;
      },
    });
    try {
      const ran = await withManifest(files, {...manifest, kernels: {ran: 1}});
      expect(await warned(ran)).to.deep.equal([
        `${start}kernels that ran as graphs, or op by op, cannot do so here`,
      ]);
      expect(histories).to.deep.equal([{ran: 1}]);
    } finally {
      kernels.provide(loaded!);
    }
  });

  it('have float32 weights only', async () => {
    class Counting extends tfl.layers.Layer {
      static className = 'Counting';
      override build(): void {
        this.addWeight('count', [1], 'int32', tfl.initializers.zeros());
        this.built = true;
      }
    }
    const model = tfl.sequential({layers: [new Counting({inputShape: [2], name: 'counting'})]});
    const optimizer = new OwLoreOptimizer();
    const files: Files = new Map();
    for (const call of [saveCheckpoint, resumeCheckpoint]) {
      expect((await rejection(call(files, {model, optimizer}))).message).to.match(
        /^\w+Checkpoint: the weight 'counting\/count\S*' is int32; a checkpoint has float32 only$/,
      );
    }
    expect(files.size).to.equal(0);
    model.dispose();
    optimizer.dispose();
  });

  it('have weights that several layers share once', async () => {
    const inner = tfl.layers.dense({units: 2, inputShape: [2], name: 'shared'});
    const input = tfl.input({shape: [2]});
    const nested = tfl.model({
      inputs: input,
      outputs: inner.apply(input) as tfl.SymbolicTensor,
      name: 'nested',
    });
    const outer = tfl.input({shape: [2]});
    const model = tfl.model({
      inputs: outer,
      outputs: inner.apply(nested.apply(outer)) as tfl.SymbolicTensor,
    });
    const optimizer = new OwLoreOptimizer({project: false});
    const files: Files = new Map();
    await saveCheckpoint(files, {model, optimizer});
    const saved = contents(files, manifests(files)[0]!) as unknown as Manifest;
    expect(saved.model.map(({layer, weights}) => [layer, weights.length])).to.deep.equal([
      ['nested', 2],
    ]);
    const values = valuesOf({model});
    tf.tidy(() => {
      for (const weight of inner.weights) weight.write(tf.zeros(weight.shape as number[]));
    });
    await resumeCheckpoint(files, {model, optimizer});
    expect(valuesOf({model})).to.deep.equal(values);
    model.dispose();
    optimizer.dispose();
  });

  it('say where they cannot be exact', async () => {
    const make = (seed?: number): CheckpointParts => {
      const model = tfl.sequential({name: 'dropping'});
      const layer = tfl.layers.dropout({name: 'drop', rate: 0.5, seed});
      model.add(tfl.layers.timeDistributed({layer, name: 'each', inputShape: [2, 2]}));
      model.add(tfl.layers.dense({name: 'd', units: 2}));
      return {model, optimizer: new OwLoreOptimizer()};
    };
    for (const seed of [undefined, 1]) {
      const [first, second] = [make(seed), make(seed)];
      const files: Files = new Map();
      await saveCheckpoint(files, first);
      if (seed === undefined) {
        expectWarning(/not bit by bit .*: without a seed these layers draw at random: each$/);
      }
      await resumeCheckpoint(files, second);
      for (const {model, optimizer} of [first, second]) {
        model.dispose();
        optimizer.dispose();
      }
    }
  });
});
