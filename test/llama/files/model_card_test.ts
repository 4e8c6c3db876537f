import {mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type * as tfl from '@tensorflow/tfjs-layers';
import {expect} from 'chai';
import {createLlama, loadLlama, saveLlama, type ModelCard} from '../../../src/llama';
import {rejection} from '../../support/rejection';
import {adapterCard} from '../../../src/llama/files/adapter_card';
import {readFiles} from './checkpoint_files';

const MARK =
  '<!-- Written by tfjs-owlore, which replaces this file at the next save; if you change it, remove this line. -->';

describe('the card of saveLlama', () => {
  let folder: string;
  const models: tfl.LayersModel[] = [];
  beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'owlore-card-'))));
  afterEach(() => {
    rmSync(folder, {recursive: true});
    for (const model of models.splice(0)) model.dispose();
  });

  /** A model with a card of its own, in a folder of the Hub's cache if it has an id. */
  async function load(card: string | null, source?: string): Promise<tfl.LayersModel> {
    const files = readFiles('smollm2');
    if (card !== null) files.set('README.md', Buffer.from(card));
    const {model} = await loadLlama(source ?? files);
    models.push(model);
    return model;
  }

  async function cardOf(model: tfl.LayersModel, card: ModelCard): Promise<string> {
    const files = new Map<string, Uint8Array>();
    const names = await saveLlama(model, files, {card});
    expect(names).to.include('README.md');
    return Buffer.from(files.get('README.md')!).toString();
  }

  it('says what it is told, in one line each, and nothing that Markdown or YAML would take as its own', async () => {
    const text = await cardOf(await load('---\nlicense: apache-2.0\n---\n# Base'), {
      title: 'A "title": [x]',
      baseModel: 'owner/some-model',
      tags: ['owlore', 'a: b'],
      method: 'OwLore',
      data: ['my_train.jsonl: 1,234 examples', '<b>\n\u202e\u009b# x'],
      settings: {rank: 128, schedule: 'linear | cosine', packing: false},
      figures: {'held-out loss before': '3.1000', steps: 12},
    });
    expect(text).to.equal(`---
base_model: "owner/some-model"
base_model_relation: "finetune"
library_name: "transformers"
pipeline_tag: "text-generation"
license: "apache-2.0"
tags: ["tfjs-owlore","owlore","a: b"]
---

# A "title": \\[x\\]

[owner/some-model](https://huggingface.co/owner/some-model), fine-tuned with tfjs-owlore. Method: OwLore.

## Results

| | |
| --- | --- |
| held-out loss before | 3.1000 |
| steps | 12 |

## Data

- my\\_train.jsonl: 1,234 examples
- &lt;b> \\# x

## Settings

| | |
| --- | --- |
| rank | 128 |
| schedule | linear \\| cosine |
| packing | false |

${MARK}
`);
  });

  it('of adapters is as peft has it, with the license of their model, and how both are loaded where that is on the Hub', async () => {
    const own = '---\nlicense: apache-2.0\nbase_model: "owner/older"\n---\n' + MARK;
    const model = await load(own);
    const textOf = (card: ModelCard): string => {
      const [path, bytes] = adapterCard(model, card);
      expect(path).to.equal('README.md');
      return new TextDecoder().decode(bytes);
    };
    const text = textOf({baseModel: 'owner/some-model', method: 'LoRA', tags: ['lora']});
    expect(text.split('## ', 1)[0]).to.equal(`---
base_model: "owner/some-model"
base_model_relation: "adapter"
library_name: "peft"
pipeline_tag: "text-generation"
license: "apache-2.0"
tags: ["tfjs-owlore","lora"]
---

# some-model, fine-tuned

[owner/some-model](https://huggingface.co/owner/some-model), fine-tuned with tfjs-owlore. Method: LoRA.

`);
    expect(text).to.include('AutoPeftModelForCausalLM.from_pretrained(".")');
    expect(text).to.include('npx tfjs-owlore generate --model . ');
    // of a model that has no name
    const plain = textOf({method: 'LoRA'});
    expect(plain).to.include('# An adapter of a language model\n');
    expect(plain).not.to.match(/base_model|older|## Use/);
  });

  it('knows the model and its license from where it was loaded', async () => {
    const commit = 'b'.repeat(40);
    const snapshot = join(folder, 'models--owner--base.v1', 'snapshots', commit);
    const plain = await load(null);
    await saveLlama(plain, snapshot);
    writeFileSync(join(snapshot, 'README.md'), "---\r\nlicense: 'mit'\r\ntags: [x]\r\n---\r\n");
    const model = await load(null, snapshot);
    const first = await cardOf(model, {});
    expect(first).to.match(/^base_model: "owner\/base\.v1"$/m);
    expect(first).to.match(/^license: "mit"$/m);
    expect(first).to.match(/^# base\.v1, fine-tuned$/m);
    // what is made of that model has the same base and license
    const second = await cardOf(await load(first), {});
    expect(second).to.equal(first);
    const other = await cardOf(model, {baseModel: 'a/b', license: 'other'});
    expect(other).to.match(/^base_model: "a\/b"$/m);
    expect(other).to.match(/^license: "other"$/m);
  });

  it('says how to use a model with a tokenizer, as a chat if it has a template', async () => {
    const usage = async (others: Record<string, string>): Promise<string | undefined> => {
      const files = readFiles('smollm2');
      for (const [name, text] of Object.entries(others)) files.set(name, Buffer.from(text));
      const {model} = await loadLlama(files);
      models.push(model);
      return /## Use\n\n([^]*?)\n\n(##|<!--)/.exec(await cardOf(model, {}))?.[1];
    };
    expect(await usage({})).to.equal(undefined);
    const text = await usage({'tokenizer.json': '{}'});
    expect(text).to.match(/^```python\nfrom transformers import pipeline\n/);
    expect(text).to.match(/```sh\nnpx tfjs-owlore generate --model \. --prompt '.*'\n```$/);
    const templates: Array<Record<string, string>> = [
      {'chat_template.jinja': '{{ messages }}'},
      {'tokenizer_config.json': '{"chat_template": "{{ messages }}"}'},
    ];
    for (const template of templates) {
      const chat = await usage({'tokenizer.json': '{}', ...template});
      expect(chat).to.match(/messages = \[\{"role": "user", "content": "Hello!"\}\]\n/);
      expect(chat).to.match(/```sh\nnpx tfjs-owlore chat --model \.\n```$/);
    }
  });

  it('leaves out what it does not know', async () => {
    const cards = [
      null,
      '# no front matter\nlicense: mit\n',
      '---\nlicense:\n- mit\nbase_model: a/b\n---\n',
      '---\nlicense: "mit" # or: so\n---\n',
      '---\nlicense: mit\n',
    ];
    for (const card of cards) {
      const text = await cardOf(await load(card), {});
      expect(text, String(card)).not.to.match(/license|base_model/);
    }
    const text = await cardOf(await load('---\nlicense: other\nlicense_name: llama3.2\n---\n'), {});
    expect(text).to.include('license: "other"\nlicense_name: "llama3.2"\n');
  });

  it("never replaces a README.md of somebody else, and does not leave one of an earlier model's", async () => {
    const model = createLlama({
      ...{vocabSize: 12, hiddenSize: 8, intermediateSize: 10, numHiddenLayers: 1},
      numAttentionHeads: 2,
    });
    models.push(model);
    const readme = join(folder, 'README.md');
    for (const text of ['# Mine\n', '']) {
      writeFileSync(readme, text);
      expect(await saveLlama(model, folder, {card: {}})).not.to.include('README.md');
      await saveLlama(model, folder);
      expect(readFileSync(readme, 'utf8')).to.equal(text);
    }
    rmSync(readme);
    expect(await saveLlama(model, folder, {card: {title: 'One'}})).to.include('README.md');
    expect(readFileSync(readme, 'utf8')).to.match(/^# One$/m);
    await saveLlama(model, folder, {card: {title: 'Two'}});
    expect(readFileSync(readme, 'utf8')).to.match(/^# Two$/m);
    await saveLlama(model, folder);
    expect(readdirSync(folder)).not.to.include('README.md');
  });

  it('is checked before anything is written', async () => {
    const model = await load(null);
    for (const [card, message] of [
      [{baseModel: 'x'}, "baseModel must be a model's name on the Hub, owner/name; got 'x'"],
      [
        {baseModel: 'a/b@v1'},
        "baseModel must be a model's name on the Hub, owner/name; got 'a/b@v1'",
      ],
      [{license: ''}, "license must be a text; got ''"],
      [{data: 'a.jsonl'}, "data must be a list of texts; got 'a.jsonl'"],
      [{figures: {loss: [1]}}, 'figures must be texts and numbers by name; got {"loss":[1]}'],
      [{figure: {}}, "unknown option 'figure'; did you mean 'figures'? Known options: "],
    ] as const) {
      const target = join(folder, 'none');
      const error = await rejection(saveLlama(model, target, {card: card as ModelCard}));
      expect(error.message).to.include(`saveLlama: card: ${message}`);
    }
    expect(readdirSync(folder)).to.deep.equal([]);
  });
});
