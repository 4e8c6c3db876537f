import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import {join, relative} from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import {locateModel, mergingBytes, type LocatedModel} from '../../src/cli/adapter';
import {temporaryNameOf} from '../../src/files/folder_commit';
import {openSource} from '../../src/files/open_source';
import {loadLlama, saveLlama, type HostTensor} from '../../src/llama';
import {applyLora} from '../../src/lora';
import {readAdapters} from '../../src/lora/adapter_files';
import {mergeAdapters} from '../../src/lora/load_lora';
import {startMemoryMeter} from '../../src/memory/meter';
import {parseSafetensors} from '../../src/files/safetensors';
import {HubEnvironment} from '../llama/hub/hub_environment';
import {HubServer} from '../llama/hub/hub_server';
import {fastBackend, itAtLength} from '../support/backends';
import {rejection} from '../support/rejection';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli, type CliRun} from './run_cli';

/*
 * A model and its adapter beside the model that has the adapter in its weights already, which is the obvious way: each command must do the same
 * with both.
 */

type AdapterConfig = Record<string, unknown>;

const configOf = (adapter: string): AdapterConfig =>
  JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8')) as AdapterConfig;

/** A copy of an adapter's folder with other values in its config; returns its path. */
function copyOf(adapter: string, name: string, changes: AdapterConfig): string {
  const copy = join(adapter, '..', name);
  rmSync(copy, {recursive: true, force: true});
  cpSync(adapter, copy, {recursive: true});
  const config = {...configOf(adapter), ...changes};
  writeFileSync(join(copy, 'adapter_config.json'), JSON.stringify(config));
  return copy;
}

describe('a run in the place of a model', () => {
  let folder: ModelFolder;
  before(async () => void (folder = await createModelFolder()));
  after(() => folder.remove());

  it('is told where its model is, or that it has none yet', async () => {
    const run = join(folder.path, 'run');
    const context = {
      given: new Map([['model', 'chat: --model']]),
      console: {note: () => undefined},
    };
    const messageOf = async (model: string): Promise<string> =>
      (await rejection(locateModel({model}, context as never))).message;
    mkdirSync(join(run, 'checkpoints'), {recursive: true});
    writeFileSync(join(run, 'files.jsonl'), '');
    const stopped = `chat: --model: the run in '${run}' has no model; finetune --resume ${run} goes on with it`;
    for (const path of [run, join(run, 'model')]) expect(await messageOf(path)).to.equal(stopped);
    mkdirSync(join(run, 'adapter'));
    writeFileSync(join(run, 'adapter', 'adapter_config.json'), '{}');
    expect(await messageOf(run)).to.match(/has no model; it has the adapter '.*adapter'$/);
    mkdirSync(join(run, 'model'));
    const model = join(run, 'model');
    expect(await messageOf(run)).to.equal(
      `chat: --model: '${run}' is the folder of a run; the model of that run is '${model}'`,
    );
    expect(await messageOf(join(run, 'modell'))).to.match(/^chat: --model: there is no '.*modell'; the model of that run is/); // prettier-ignore
  });
});

describe('adapters on the command line', function () {
  this.timeout(120_000);
  let folder: ModelFolder;
  let adapter: string;
  let merged: string;
  let data: string;
  before(async () => {
    await tf.setBackend(fastBackend);
    folder = await createModelFolder();
    adapter = join(folder.path, 'adapter');
    merged = join(folder.path, 'merged');
    data = folder.writeLines('texts.jsonl', texts(30));
    const {model} = await loadLlama(folder.model);
    const lora = applyLora(model, {rank: 3, alpha: 5, targets: ['q_proj', 'down_proj']});
    let seed = 1;
    for (const {b} of lora.weights.values())
      tf.tidy(() => b.assign(tf.randomNormal(b.shape, 0, 0.5, 'float32', seed++)));
    await lora.save(adapter, {baseModel: folder.model});
    lora.remove({keepMerged: true});
    await saveLlama(model, merged);
    model.dispose();
  });
  after(() => folder.remove());

  const run = (...args: string[]): Promise<CliRun> => runCli([...args, '--backend', fastBackend]);

  async function done(...args: string[]): Promise<CliRun> {
    const result = await run(...args);
    expect(result.code, result.stderr).to.equal(0);
    return result;
  }

  const weightsOf = (model: string): Map<string, HostTensor> =>
    parseSafetensors(readFileSync(join(model, 'model.safetensors'))).tensors;

  /** The three ways to name it. */
  const ways = (): Array<[title: string, args: string[]]> => [
    ['beside its model', ['--model', folder.model, '--adapter', adapter]],
    ['as the model', ['--model', adapter]],
  ];

  const commands: Array<[name: string, args: () => string[], stdin?: string]> = [
    ['generate', () => ['--prompt', 'the cat', '--max-new-tokens', '12']],
    ['chat', () => ['--max-new-tokens', '8'], 'the cat\n'],
    ['evaluate', () => ['--data', data, '--max-length', '12']],
    ['scores', () => ['--kind', 'relativeMagnitude', '--json']],
  ];
  for (const [command, args, stdin] of commands) {
    it(`${command} does with it what it does with the merged model, and leaves no tensor`, async () => {
      const {numTensors} = tf.memory();
      const of = async (where: readonly string[]): Promise<CliRun> => {
        const all = [command, ...where, ...args(), '--backend', fastBackend];
        const result = await runCli(all, stdin ?? null);
        expect(result.code, result.stderr).to.equal(0);
        return result;
      };
      const [own, other] = [await of(['--model', merged]), await of(['--model', folder.model])];
      expect(own.stdout).not.to.equal(other.stdout);
      for (const [title, where] of ways()) {
        const {stdout, stderr} = await of(where);
        // the merged weights went through a file, and came back as they were
        expect(stdout, title).to.equal(own.stdout);
        expect(stderr).to.include(`${folder.model} with ${adapter}: `);
        const said = `${adapter} is an adapter of ${folder.model}\n`;
        expect(stderr.includes(said)).to.equal(title === 'as the model');
      }
      expect(tf.memory().numTensors).to.equal(numTensors);
    });
  }

  it('an adapter stays float32 in a model that is kept at 16 bits', async () => {
    const args = ['generate', '--prompt', 'the cat', '--max-new-tokens', '12'];
    const half = join(folder.path, 'half');
    const {model} = await loadLlama(folder.model);
    await saveLlama(model, half, {dtype: 'BF16'});
    model.dispose();
    const whole = await done(
      ...args,
      '--model',
      half,
      '--adapter',
      adapter,
      '--frozen-dtype',
      'F32',
    );
    for (const dtype of ['BF16', 'auto']) {
      const kept = await done(
        ...args,
        '--model',
        half,
        '--adapter',
        adapter,
        '--frozen-dtype',
        dtype,
      );
      expect(kept.stdout).to.equal(whole.stdout);
    }
  });

  describe('merge', () => {
    for (const [i, title] of ['beside its model', 'as the model'].entries()) {
      it(`writes the merged model, with tokenizer and card: ${title}`, async () => {
        const {numTensors} = tf.memory();
        const output = join(folder.path, `output${i}`);
        const {stdout, stderr} = await done(
          'merge',
          ...ways()[i]![1],
          '--output',
          output,
          '--json',
        );
        expect(JSON.parse(stdout)).to.deep.equal({
          ...{output, model: folder.model, adapter, dtype: 'F32'},
        });
        expect(stderr).to.include(`the model is in ${output}\n`);
        expect(tf.memory().numTensors).to.equal(numTensors);
        expect(weightsOf(output)).to.deep.equal(weightsOf(merged));
        const names = ['README.md', 'config.json', 'model.safetensors', 'tokenizer.json'];
        expect(readdirSync(output).sort()).to.deep.equal([...names, 'tokenizer_config.json']);
        for (const name of ['tokenizer.json', 'tokenizer_config.json'])
          expect(readFileSync(join(output, name))).to.deep.equal(
            readFileSync(join(folder.model, name)),
          );
        const card = readFileSync(join(output, 'README.md'), 'utf8');
        expect(card).to.include('# model with the adapter adapter\n');
        expect(card).to.include(
          '\nmodel with the LoRA adapter adapter in its weights, put there by',
        );
        expect(card).not.to.include(folder.path);
        // which is a model like any other
        await done('generate', '--model', output, '--prompt', 'the cat', '--max-new-tokens', '2');
      });
    }

    it('in bfloat16, with the tokenizer and the chat template that came with the adapter', async () => {
      const own = copyOf(adapter, 'with_tokenizer', {});
      cpSync(join(folder.model, 'tokenizer.json'), join(own, 'tokenizer.json'));
      const config = JSON.parse(
        readFileSync(join(folder.model, 'tokenizer_config.json'), 'utf8'),
      ) as object;
      const template = '{% for m in messages %}the {{ m.content }}{% endfor %}';
      writeFileSync(
        join(own, 'tokenizer_config.json'),
        JSON.stringify({...config, chat_template: template}),
      );
      const output = join(folder.path, 'output_bf16');
      await done('merge', '--model', own, '--output', output, '--dtype', 'BF16');
      const tokens = ['tokenizer.json', 'tokenizer_config.json'];
      for (const name of tokens)
        expect(readFileSync(join(output, name))).to.deep.equal(readFileSync(join(own, name)));
      const one = ['generate', '--chat', '--prompt', 'cat', '--max-new-tokens', '1', '--json'];
      const countOf = async (...where: string[]): Promise<number> =>
        (JSON.parse((await done(...one, ...where)).stdout) as {promptTokens: number}).promptTokens;
      const count = await countOf('--model', own);
      expect(count).to.equal(folder.tokenizer.encode('the cat').length);
      expect(await countOf('--model', folder.model)).to.be.above(count);
      expect(await countOf('--model', output)).to.equal(count);
      expect(JSON.parse(readFileSync(join(output, 'config.json'), 'utf8'))).to.include({
        dtype: 'bfloat16',
      });
    });

    it('refuses what is no new folder, or lacks an adapter', async () => {
      const merge = (...args: string[]): Promise<CliRun> => run('merge', ...args);
      for (const [args, message] of [
        [['--model', folder.model, '--output', join(folder.path, 'x')], /--adapter is missing/],
        [[...ways()[0]![1], '--output', merged], /--output: the folder '.*merged' is not empty/],
        [[...ways()[0]![1], '--output', adapter], /--adapter: .* which this run writes to/],
        [[...ways()[1]![1], '--output', adapter], /--model: .* which this run writes to/],
      ] as const) {
        const {code, stderr} = await merge(...args);
        expect([code, stderr]).to.satisfy(() => code === 2 && message.test(stderr), stderr);
      }
      expect(existsSync(join(folder.path, 'x'))).to.equal(false);
    });

    it('takes a folder in which one that was killed has left a part', async () => {
      const output = join(folder.path, 'left');
      mkdirSync(output);
      const writer = {host: '0@another', pid: 1, processStart: 1};
      const part = temporaryNameOf('model.safetensors', writer);
      writeFileSync(join(output, part), 'part');
      await done('merge', ...ways()[0]![1], '--output', output);
      expect(weightsOf(output)).to.deep.equal(weightsOf(merged));
    });
  });

  describe('finetune', () => {
    let count = 0;
    const argsOf = (output: string, ...more: string[]): string[] => [
      ...['finetune', '--data', data, '--output', output, '--max-length', '12'],
      ...['--batch-size', '4', '--learning-rate', '0.01', ...more],
    ];
    const newOutput = (): string => join(folder.path, `run${count++}`);
    const logOf = (output: string): unknown[] =>
      readFileSync(join(output, 'log.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => {
          const {seconds: _, peakBytes: __, ...entry} = JSON.parse(line) as Record<string, unknown>;
          return entry;
        });

    it('goes on with it: begins at its loss, trains its matrices, and leaves an adapter of the same model', async () => {
      const {numTensors} = tf.memory();
      const [output, other] = [newOutput(), newOutput()];
      for (const [i, run] of [output, other].entries())
        await done(...argsOf(run, ...ways()[i]![1], '--steps', '6', '--lora-dropout', '0.1'));
      expect(tf.memory().numTensors).to.equal(numTensors);
      const [log, again] = [logOf(output), logOf(other)];
      expect(again).to.deep.equal(log);
      const held = log.filter((entry) => (entry as {event: string}).event === 'heldOut') as Array<{
        loss: number;
      }>;
      const lossOf = async (model: string): Promise<number> => {
        // every 20th example is held out, the first among them
        const heldOut = folder.writeLines('held_out.jsonl', [texts(1)[0]!, texts(21)[20]!]);
        const args = ['--data', heldOut, '--max-length', '12', '--json'];
        const {stdout} = await done('evaluate', '--model', model, ...args);
        return (JSON.parse(stdout) as {loss: number}).loss;
      };
      // both add in float32, in another order
      expect(held[0]!.loss).to.be.closeTo(await lossOf(merged), 1e-5);
      expect(held.at(-1)!.loss).to.be.below(held[0]!.loss);
      expect(held.at(-1)!.loss).to.be.closeTo(await lossOf(join(output, 'model')), 1e-5);
      const config = JSON.parse(readFileSync(join(other, 'config.json'), 'utf8')) as object;
      expect(config).to.include({
        ...{method: 'lora', model: folder.model, adapter, rank: 3, loraAlpha: 5},
        ...{loraDropout: 0.1, targets: 'q_proj,down_proj'},
      });
      expect(configOf(join(output, 'adapter'))).to.deep.include({
        ...{base_model_name_or_path: folder.model, target_modules: ['q_proj', 'down_proj']},
        ...{r: 3, lora_alpha: 5, lora_dropout: 0.1},
      });
      const card = readFileSync(join(output, 'model', 'README.md'), 'utf8');
      expect(card).to.include('| adapter | adapter |').and.not.include(folder.path);
      // by the config that it leaves, whose options are the adapter's
      const third = newOutput();
      const config3 = join(output, 'config.json');
      await done('finetune', '--config', config3, '--output', third);
      expect(logOf(third)).to.deep.equal(log);
    });

    itAtLength('ends as if it had not been stopped', async () => {
      const [whole, output] = [newOutput(), newOutput()];
      const more = ['--model', adapter, '--steps', '9', '--lora-dropout', '0.2', '--seed', '7'];
      const all = [...more, '--evaluate-every', '1', '--accumulate', '2', '--backend', fastBackend];
      await done(...argsOf(whole, ...all));
      const stopped = await runCli(argsOf(output, ...all), null, 'step 4: held-out loss');
      expect(stopped.code, stopped.stderr).to.equal(130);
      const {code, stderr} = await runCli(['finetune', '--resume', output]);
      expect(code, stderr).to.equal(0);
      expect(stderr).to.match(/the run goes on from step [3-5]\n/);
      expect(logOf(output)).to.deep.equal(logOf(whole));
      for (const file of ['adapter/adapter_model.safetensors', 'model/model.safetensors'])
        expect(readFileSync(join(output, file)).equals(readFileSync(join(whole, file)))).to.equal(
          true,
        );
    });

    for (const [args, message] of [
      ['--rank 4', /--rank is 4, and the adapter '.*' has 3; leave it out/],
      ['--lora-alpha 3', /--lora-alpha is 3, and the adapter '.*' has 5/],
      ['--targets all-linear', /--targets is all-linear, .* has q_proj,down_proj/],
      ['--method owlore', /--method is owlore, and the adapter '.*' has lora/],
      ['--gamma 2', /--gamma has no meaning with --method lora/],
      ['--engine torch', /--engine torch does not have --method lora/],
    ] as const) {
      it(`refuses ${args}`, async () => {
        for (const [, where] of ways()) {
          const output = newOutput();
          const {code, stderr} = await run(...argsOf(output, ...where, ...args.split(' ')));
          expect([code, existsSync(output)], stderr).to.deep.equal([2, false]);
          expect(stderr).to.match(message);
        }
      });
    }

    it('takes options that say the same', async () => {
      const same = ['--rank', '3', '--lora-alpha', '5', '--targets', 'mlp.down_proj,q_proj'];
      const more = ['--method', 'lora', '--steps', '1'];
      await done(...argsOf(newOutput(), ...ways()[0]![1], ...same, ...more));
    });

    it('names the model as it was given in a new adapter, and all matrices by seven names', async () => {
      const output = newOutput();
      const shown = relative(process.cwd(), folder.model);
      await done(...argsOf(output, '--model', shown, '--method', 'lora', '--steps', '1'));
      expect(configOf(join(output, 'adapter'))).to.deep.include({
        ...{peft_type: 'LORA', task_type: 'CAUSAL_LM', inference_mode: true},
        base_model_name_or_path: shown,
        target_modules: [
          ...['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
        ],
      });
    });

    it('keeps the tokenizer and the template that it trained with, beside the adapter and in the model', async () => {
      const template = '{% for m in messages %}the {{ m.content }}{% endfor %}';
      const file = folder.write('template.jinja', template);
      const first = newOutput();
      const short = ['--method', 'lora', '--steps', '1'];
      await done(...argsOf(first, '--model', folder.model, '--chat-template', file, ...short));
      const second = newOutput();
      await done(...argsOf(second, '--model', join(first, 'adapter'), '--steps', '1'));
      const names = ['chat_template.jinja', 'tokenizer.json', 'tokenizer_config.json'];
      for (const output of [first, second]) {
        expect(readdirSync(join(output, 'adapter')).sort()).to.deep.equal([
          ...['README.md', 'adapter_config.json', 'adapter_model.safetensors', ...names],
        ]);
        for (const part of ['adapter', 'model']) {
          const of = (name: string): string => readFileSync(join(output, part, name), 'utf8');
          expect(of('chat_template.jinja')).to.equal(template);
          expect(of('tokenizer.json')).to.equal(
            readFileSync(join(folder.model, 'tokenizer.json'), 'utf8'),
          );
        }
      }
      const plain = newOutput();
      await done(...argsOf(plain, '--model', folder.model, ...short));
      expect(readdirSync(join(plain, 'adapter')).sort()).to.deep.equal([
        ...['README.md', 'adapter_config.json', 'adapter_model.safetensors'],
      ]);
      const card = readFileSync(join(plain, 'adapter', 'README.md'), 'utf8');
      expect(card).to.include('library_name: "peft"').and.include('Method: LoRA.');
      expect(card).not.to.include(folder.path);
    });

    it('does not read or write the folder that it goes on from', async () => {
      const output = newOutput();
      await done(...argsOf(output, '--model', adapter, '--steps', '1'));
      for (const where of ['--model', '--adapter']) {
        const base = where === '--adapter' ? ['--model', folder.model] : [];
        const args = [...base, where, join(output, 'adapter'), '--overwrite'];
        const {code, stderr} = await run(...argsOf(output, ...args));
        expect([code, stderr]).to.satisfy(() => code === 2 && stderr.includes('which this run'));
      }
    });
  });

  it('estimate takes the model that an adapter names', async () => {
    const args = ['--max-length', '12', '--json'];
    const [own, other] = [
      await done('estimate', '--model', adapter, ...args),
      await done('estimate', '--model', folder.model, ...args),
    ];
    const {bytes} = JSON.parse(other.stdout) as {bytes: object};
    expect((JSON.parse(own.stdout) as {bytes: object}).bytes).to.deep.equal(bytes);
  });

  it('what is counted for a merge is what it takes', async () => {
    const files = await readAdapters('test', openSource('test', adapter));
    for (const frozenDtype of ['F32', 'BF16'] as const) {
      const meter = startMemoryMeter();
      const {model} = await loadLlama(folder.model, {frozenDtype});
      const before = meter.current();
      meter.reset();
      mergeAdapters('test', model, files);
      const most = meter.peak() - before;
      const numbers = model.countParams();
      const counted = mergingBytes(files, frozenDtype === 'F32' ? 0 : 2 * numbers);
      expect(most).to.be.within(0.5 * counted, counted);
      model.dispose();
      meter.stop();
    }
  });

  describe('what is refused', () => {
    const generate = (...args: string[]): Promise<CliRun> =>
      run('generate', '--prompt', 'x', '--max-new-tokens', '1', ...args);

    async function expectRefused(args: readonly string[], message: RegExp): Promise<void> {
      const {code, stderr} = await generate(...args);
      expect(stderr).to.match(message);
      expect(code).to.be.within(1, 2);
    }

    it('one in the place of the other', async () => {
      const model = ['--model', folder.model];
      mkdirSync(join(folder.path, 'empty'));
      cpSync(adapter, join(folder.path, 'a_run', 'adapter'), {recursive: true});
      for (const [args, message] of [
        [
          [...model, '--adapter', merged],
          /--adapter: '.*merged' has no adapter_config.json, so it is no adapter of peft; give a model as --model/,
        ],
        [
          [...model, '--adapter', join(folder.path, 'empty')],
          /'.*empty' has no adapter_config.json, so it is no adapter of peft$/m,
        ],
        [
          [...model, '--adapter', join(folder.path, 'a_run')],
          /; that of this run is '.*a_run.adapter'$/m,
        ],
        [
          [...model, '--adapter', join(folder.path, 'nowhere')],
          /--adapter: there is no folder '.*nowhere'/,
        ],
        [[...model, '--adapter', data], /--adapter must be a folder; '.*texts.jsonl' is a file/],
        [[...model, '--adapter', 'https://127.0.0.1:1/x'], /--adapter: there is no folder 'https:/],
        [
          ['--model', adapter, '--adapter', adapter],
          /--model: '.*adapter' is an adapter; with --adapter it must be the model/,
        ],
      ] as const)
        // prettier-ignore
        await expectRefused(args, message);
    });

    it('an adapter of another model: the first matrix, both shapes, and the model that it names', async () => {
      const wide = await createModelFolder({intermediateSize: 20, numHiddenLayers: 2});
      try {
        const message =
          /^error: generate: --adapter: the adapters are of another model: theirs has "model\.layers\.0\.mlp\.down_proj" of shape \[24, 16\], and this one of \[20, 16\]; adapter_config\.json names ".*model" as theirs$/m;
        // no weight is read
        rmSync(join(wide.model, 'model.safetensors'));
        await expectRefused(['--model', wide.model, '--adapter', adapter], message);
        const output = join(folder.path, 'never');
        const {code, stderr} = await run(
          ...['merge', '--model', wide.model, '--adapter', adapter, '--output', output],
        );
        expect([code, existsSync(output)], stderr).to.deep.equal([2, false]);
      } finally {
        wide.remove();
      }
    });

    for (const [key, value] of [
      ['use_dora', true],
      ['fan_in_fan_out', true],
      ['modules_to_save', ['lm_head']],
      ['bias', 'lora_only'],
      ['peft_type', 'IA3'],
    ] as const) {
      it(`by its name: ${key}`, async () => {
        const other = copyOf(adapter, key, {[key]: value});
        const message = new RegExp(
          `--model: adapter_config.json has ${key}: .*, which this library`,
        );
        await expectRefused(['--model', other], message);
      });
    }

    it('a base that is neither a folder of a model nor a name on the Hub, with the way out', async () => {
      const of = (base: unknown): string[] => [
        '--model',
        copyOf(adapter, 'other', {base_model_name_or_path: base}),
      ];
      const inner = copyOf(adapter, 'inner', {});
      for (const [base, message] of [
        [null, /names no model; give the model that it is for: --model MODEL --adapter .*other$/m],
        [7, /names no model/],
        [
          'https://127.0.0.1:1/model',
          /"https:.*", which is neither a name on the Hub nor the path/,
        ],
        ['file:///etc', /"file:.*", which is neither/],
        ['//127.0.0.1/share', /which is neither/],
        ['\\\\127.0.0.1\\share', /which is neither/],
        ['/dev/fd', /which is neither/],
        ['/net/127.0.0.1/model', /which is neither/],
        ['a\u001b[2Jb', /which is neither/],
        ['/nowhere/at all', /which is neither a folder here nor a name on the Hub/],
        ['owner/name/more', /which is neither a folder here nor a name on the Hub/],
        [folder.path, /a folder without a config.json/],
        [inner, /which is an adapter, too/],
        [join(folder.model, 'config.json'), /which is neither a folder here/],
      ] as const)
        await expectRefused(of(base), message);
    });
  });

  describe('of the Hub', () => {
    let environment: HubEnvironment;
    let hub: HubServer;
    let commit: string;
    const filesOf = (path: string): Map<string, Uint8Array> =>
      new Map(readdirSync(path).map((name) => [name, readFileSync(join(path, name))]));
    beforeEach(() => void (environment = new HubEnvironment()));
    afterEach(async () => {
      await hub.close();
      environment.end();
    });

    const prompt = ['--prompt', 'the cat', '--max-new-tokens', '5'];

    async function start(id: string, path: string): Promise<void> {
      hub = await HubServer.start(id);
      process.env['HF_ENDPOINT'] = hub.endpoint;
      commit = hub.push('main', filesOf(path));
    }

    it('the model that an adapter names, in the revision that it names', async () => {
      await start('owner/tiny', folder.model);
      hub.push('other', new Map([['config.json', Buffer.from('{}')]]));
      const base = {base_model_name_or_path: 'owner/tiny', revision: 'main'};
      const own = copyOf(adapter, 'of_hub', base);
      const {stdout, stderr} = await done('generate', '--model', own, ...prompt);
      expect(stderr).to.include(`${own} is an adapter of owner/tiny\n`);
      expect(stdout).to.equal((await done('generate', '--model', merged, ...prompt)).stdout);
      const other = copyOf(adapter, 'of_hub_other', {...base, revision: 'other'});
      expect((await run('generate', '--model', other, ...prompt)).stderr).to.match(/config\.json/);
      expect(hub.requests.join('\n')).to.include('revision/other');
      const output = join(folder.path, 'hub_run');
      await done(
        ...['finetune', '--model', own, '--data', data, '--output', output, '--steps', '1'],
        ...['--max-length', '12', '--learning-rate', '0.01'],
      );
      expect(configOf(join(output, 'adapter'))).to.include({
        base_model_name_or_path: 'owner/tiny',
        revision: commit,
      });
      const config = JSON.parse(readFileSync(join(output, 'config.json'), 'utf8')) as object;
      expect(config).to.include({model: `owner/tiny@${commit}`, adapter: own});
    });

    it('an adapter by its name, of a model in a folder', async () => {
      await start('owner/adapter', adapter);
      const expected = (await done('generate', '--model', merged, ...prompt)).stdout;
      for (const where of [
        ['--model', folder.model, '--adapter', 'owner/adapter'],
        ['--model', `owner/adapter@${commit}`],
      ]) {
        const {stdout, stderr} = await done('generate', ...where, ...prompt);
        expect(stdout).to.equal(expected);
        expect(stderr).to.include(`${folder.model} with owner/adapter@${commit}: `);
      }
    });

    it('a model that is none is not asked for more than whether it is', async () => {
      await start('owner/tiny', folder.model);
      await done('generate', '--model', 'owner/tiny', ...prompt);
      expect(hub.requests.join('\n')).not.to.include('adapter');
    });

    it('says that an adapter names another model', async () => {
      await start('owner/tiny', folder.model);
      const own = copyOf(adapter, 'of_another', {base_model_name_or_path: 'owner/other'});
      const args = ['--model', 'owner/tiny', '--adapter', own];
      const {stderr} = await done('generate', ...args, ...prompt);
      expect(stderr).to.include(
        `${own}: its adapter_config.json names another model, owner/other\n`,
      );
    });
  });

  it('a folder from the working directory, or else from that of the adapter', async () => {
    const said = async (base: string): Promise<LocatedModel> => {
      const own = copyOf(adapter, 'of_folder', {base_model_name_or_path: base});
      const given = new Map([['model', 'generate: --model']]);
      const console = {note: () => undefined} as never;
      return locateModel({model: own}, {given, console});
    };
    const shown = relative(process.cwd(), folder.model);
    expect((await said(shown)).source).to.equal(shown);
    expect((await said('../model')).source).to.equal(join(folder.path, 'model'));
    expect((await said('demo/no_such_model')).source).to.equal('demo/no_such_model');
    expect((await rejection(said('../no_such_model'))).message).to.match(/neither a folder here/);
  });
});
