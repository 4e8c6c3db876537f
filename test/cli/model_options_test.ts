import {existsSync, readdirSync, readFileSync, rmSync} from 'node:fs';
import {join} from 'node:path';
import {expect} from 'chai';
import {HubEnvironment} from '../llama/hub/hub_environment';
import {HubServer} from '../llama/hub/hub_server';
import {defaultBackend} from '../support/backends';
import {createModelFolder, texts, type ModelFolder} from './model_folder';
import {runCli} from './run_cli';

/** What is wrong by itself, or for the model's configuration or tokenizer. */
const wrong: ReadonlyArray<readonly [args: string, message: RegExp]> = [
  ['finetune --data fields.jsonl', /has no example that can be used: 1 dropped, in line 2: /],
  ['finetune --data empty.jsonl', /empty\.jsonl is empty/],
  ['finetune --data open.json', /the file ends within the array/],
  ['finetune --data one.jsonl', /has 1 example, .* leaves none to train on/],
  ['finetune --data good.jsonl --validation fields.jsonl', /fields\.jsonl has no example/],
  ['finetune --data good.jsonl --validation open.json', /open\.json: .* within the array/],
  ['finetune --data good.jsonl --max-length 65', /--max-length must be at most .*got 65/],
  ['finetune --data good.jsonl --warmup 9 --steps 9', /--warmup must be below 9/],
  ['finetune --data good.jsonl --gamma 4', /--gamma must be <= 3, the blocks of the model; got 4/],
  [
    'finetune --data good.jsonl --method badam --sampler bernoulli',
    /--sampler bernoulli with --method badam and --gamma 1 can leave a period without any block, and nothing else trains; use --sampler perm/,
  ],
  [
    'finetune --data good.jsonl --method badam --sampler exact --gamma 0.5',
    /--sampler exact with --method badam and --gamma 0\.5 can leave/,
  ],
  ['finetune --data good.jsonl --scores other.json --gamma 1', /scores have no block/],
  ['finetune --data good.jsonl --scores one_alive.json --gamma 2', /<= 1, the blocks with a score/],
  ['finetune --data good.jsonl --method lora --targets up', /'up', which matches no matrix/],
  ['finetune --data good.jsonl --method lora --rank 17', /--rank must be at most .*got 17/],
  ['finetune --data good.jsonl --embedding low-rank', /not possible at --rank 128/],
  ['evaluate --data fields.jsonl', /has no example that can be used/],
  ['evaluate --data good.jsonl --max-length 65', /--max-length must be at most .*got 65/],
  ['evaluate --task arc --data fields.jsonl', /fields\.jsonl: line 1: /],
  ['evaluate --task gsm8k --data empty.jsonl', /empty\.jsonl is empty/],
  ['evaluate --task gsm8k --data gsm8k.jsonl', /line 1: the question has \d+ tokens/],
  ['scores --data fields.jsonl', /has no example that can be used/],
  ['generate --prompt x --max-new-tokens 64', /--max-new-tokens must be at most 6\d/],
  ['generate --prompts prompts.jsonl', /line 1: the text must have at least one token/],
];

describe('a model whose weights are not opened', function () {
  this.timeout(60_000);
  let folder: ModelFolder;
  let environment: HubEnvironment;
  let hub: HubServer;
  before(async () => {
    folder = await createModelFolder();
    environment = new HubEnvironment();
    hub = await HubServer.start('owner/tiny');
    process.env['HF_ENDPOINT'] = hub.endpoint;
    hub.push(
      'main',
      new Map(
        readdirSync(folder.model).map((name) => [name, readFileSync(join(folder.model, name))]),
      ),
    );
    rmSync(join(folder.model, 'model.safetensors'));
    folder.writeLines('good.jsonl', texts(20));
    folder.writeLines('one.jsonl', texts(1));
    folder.writeLines('fields.jsonl', [{txt: 'the cat'}, {txt: 'the mat'}]);
    folder.write('empty.jsonl', '\n');
    folder.write('open.json', '[{"text": "the cat"},');
    folder.writeLines('gsm8k.jsonl', [{question: 'x', answer: '#### 1'}]);
    folder.writeLines('prompts.jsonl', [{prompt: 'the cat '.repeat(40)}]);
    const blocks = [0, 1, 2].map((i) => `model.layers.${i}`);
    folder.write('other.json', JSON.stringify({blocks: ['a', 'b', 'c'], scores: [1, 2, 3]}));
    folder.write('one_alive.json', JSON.stringify({blocks, scores: [0, 2, 0]}));
  });
  after(async () => {
    await hub.close();
    environment.end();
    folder.remove();
  });

  for (const [args, message] of wrong) {
    it(`is enough to refuse ${args}`, async () => {
      const all = args
        .split(' ')
        .map((each) => (/\.jsonl?$/.test(each) ? join(folder.path, each) : each));
      const output = join(folder.path, 'run');
      if (all[0] === 'finetune') all.push('--output', output);
      for (const model of [folder.model, 'owner/tiny']) {
        const {code, stderr} = await runCli([
          ...all,
          '--backend',
          defaultBackend,
          '--model',
          model,
        ]);
        expect(code, stderr).to.be.within(1, 2);
        expect(stderr).to.match(message);
      }
      expect(existsSync(output)).to.equal(false);
      expect(hub.requests.join('\n')).to.include('config.json').and.not.include('safetensors');
    });
  }
});
