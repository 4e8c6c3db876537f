/** Models and data of one's own: by a name on the Hub, dropped, chosen or pasted. */
import {mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import {expect} from 'chai';
import type {BrowserContext} from 'playwright-core';
import {loadLlama, saveGguf, saveLlama} from '../../src/llama/index';
import {HubServer, type HubOptions} from '../../test/llama/hub/hub_server';
import {loadBackend} from '../../tools/load_backend';
import {hosts, newContext} from './browsers';
import {quick, Tab} from './tab';

const demoModel = fileURLToPath(new URL('../../demo/model/', import.meta.url));
const demoFiles = readdirSync(demoModel);

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tfjs-owlore-web-'));
});
after(() => rmSync(folder, {recursive: true, force: true}));

describe('a model of one’s own', () => {
  before(async () => {
    await loadBackend('wasm');
    await tf.setBackend('wasm');
    const {model} = await loadLlama(demoModel);
    await saveLlama(model, join(folder, 'parts'), {maxShardBytes: 1_000_000});
    await saveGguf(model, join(folder, 'demo.gguf'));
    model.dispose();
    // a folder as one finds them, with other folders in it
    const own = join(folder, 'own');
    for (const below of ['onnx', '.cache']) mkdirSync(join(own, below), {recursive: true});
    for (const file of demoFiles) writeFileSync(join(own, file), readFileSync(demoModel + file));
    for (const file of [
      'onnx/config.json',
      'onnx/model.safetensors',
      '.cache/config.json',
      'README.md',
    ])
      // prettier-ignore
      writeFileSync(join(own, file), 'other');
  });

  for (const [title, name, choose] of [
    [
      'a folder that is dropped',
      'your model',
      (tab) => drop(tab, '#model-panel', join(folder, 'own')),
    ],
    [
      'a folder that is chosen, its weights in several files',
      'your model',
      ({page}) => page.getByLabel('Choose a folder').setInputFiles(join(folder, 'parts')),
    ],
    [
      'files that are chosen',
      'your model',
      ({page}) => modelFiles(page).setInputFiles(demoFiles.map((file) => demoModel + file)),
    ],
    [
      'a GGUF file that is dropped',
      'demo.gguf',
      (tab) => drop(tab, '#model-panel', join(folder, 'demo.gguf')),
    ],
  ] as ReadonlyArray<readonly [string, string, (tab: Tab) => Promise<void>]>) {
    // prettier-ignore
    it(`trains from ${title}, and goes on after a reload`, async () => {
      const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 8, sampleEvery: 0}); // prettier-ignore
      await tab.page.locator('input[name=model][value=files]').check();
      await choose(tab);
      await isEstimated(tab);
      await tab.click('start');
      await tab.reaches(2);
      await tab.click('pause');
      await tab.isIn('paused');
      await tab.page.reload();
      await tab.isIn('idle');
      const goOn = tab.page.locator('#notice:visible').getByRole('button', {name: 'Go on'});
      await goOn.waitFor();
      expect(await tab.text('runs')).to.match(new RegExp(`^OwLore: ${name} on Moby-Dick`, 'm'));
      await goOn.click();
      await tab.isIn('ended');
      expect(tab.losses().steps).to.have.length(8);
      expect(await tab.text('phase')).to.equal(`Done: ${name} has learnt from Moby-Dick.`);
      expect(tab.errors).to.eql([]);
    });
  }

  describe('on the Hub', () => {
    const name = 'somebody/Demo-2M';
    const contents = 'cas-bridge.xethub.hf.co';
    let hub: HubServer;
    afterEach(() => hub.close());

    /** The page with a model's name, where a server of this machine answers for the Hub. */
    async function open(
      options: HubOptions = {},
      model = name,
    ): Promise<{context: BrowserContext; tab: Tab}> {
      hub = await HubServer.start(name, {...options, contentsUrl: `https://${contents}`});
      hub.push('main', new Map(demoFiles.map((file) => [file, readFileSync(demoModel + file)])));
      hosts()
        .elsewhere.standsFor.set('huggingface.co', Number(new URL(hub.endpoint).port))
        .set(contents, hub.contentsPort);
      const context = await newContext();
      return {context, tab: await Tab.open(context, hosts().preview.url, {...quick, steps: 4, model})}; // prettier-ignore
    }

    it('trains, is kept, and trains again without a network', async () => {
      const {context, tab} = await open();
      await isEstimated(tab);
      await tab.click('start');
      await tab.isIn('ended');
      expect(tab.losses().steps).to.have.length(4);
      expect(await tab.text('phase')).to.equal(`Done: ${name} has learnt from Moby-Dick.`);
      await tab.page.locator('#kept-models:visible li').waitFor(); // the list is read after the end
      expect(await tab.text('kept-models')).to.match(/^somebody\/Demo-2M\n3\.4\sMB/);
      expect(tab.errors).to.eql([]);

      const {length} = hub.requests;
      await tab.page.waitForFunction(() => navigator.serviceWorker.controller);
      await context.setOffline(true);
      tab.events.length = 0;
      await tab.click('again');
      await tab.click('start');
      await tab.isIn('ended');
      expect(tab.losses().steps).to.have.length(4);
      expect(hub.requests).to.have.length(length);
    });

    it('that nobody has is said to be unknown, and another name trains', async () => {
      const {tab} = await open({}, 'somebody/Nothing');
      const words =
        /^'somebody\/Nothing' is not a model that the Hub shows \(401\); check the name; .* stand under “Model”/;
      await isRefused(tab, words);
      // one who is faster than the estimate
      await tab.page.fill('#hub-name', 'somebody/Else');
      await tab.page.keyboard.press('Tab');
      await tab.click('start');
      expect(await noticeOf(tab)).to.match(/^'somebody\/Else' is not a model that the Hub shows/);
      await tab.page.fill('#hub-name', name);
      await tab.page.locator('#notice').waitFor({state: 'hidden'});
      await tab.click('start');
      await tab.reaches(1);
    });

    it('that is private or behind conditions is said to be, and trains with a token', async () => {
      const {tab} = await open({token: 'hf_secret'});
      await isRefused(tab, /private, give a token of yours. Name and token stand under “Model”/);
      await tab.page.fill('#hub-token', 'hf_wrong');
      await isRefused(tab, /^The Hub does not accept your token/);
      hub.options.isGated = true;
      await tab.page.fill('#hub-token', 'hf_secret');
      await isRefused(
        tab,
        /accept them at https:\/\/huggingface\.co\/somebody\/Demo-2M with the account of your token/,
      );
      hub.options.isGated = false;
      // who has accepted them in another tab comes back to this one
      await tab.page.evaluate(() => dispatchEvent(new Event('focus')));
      await isEstimated(tab);
      await tab.click('start');
      await tab.reaches(1);
      expect([...hub.tokens])
        .to.include('Bearer hf_secret')
        .and.not.include('sent to another host');
      expect(tab.page.url()).not.to.include('hf_');
    });

    it('without a network is said once not to answer, in the estimate or in the notice of a start', async () => {
      const {context, tab} = await open();
      await isEstimated(tab);
      await context.setOffline(true);
      await tab.page.fill('#hub-name', 'somebody/Else');
      const words = /^The Hugging Face Hub, or the host of a file, does not answer\. Check the /;
      const note = tab.page.locator('#estimate-note');
      await note.filter({hasText: words}).waitFor();
      await tab.click('start');
      expect(await noticeOf(tab)).to.match(words);
      await note.filter({hasText: 'for the reason in the box at the bottom'}).waitFor();
      await tab.page.locator('#notice').getByRole('button', {name: 'Close'}).click();
      await note.filter({hasText: words}).waitFor();
    });

    it('whose files do not come says so, and trains when they do', async () => {
      const {tab} = await open();
      hosts().elsewhere.standsFor.delete(contents);
      await tab.click('start');
      expect(await noticeOf(tab)).to.match(/Check the connection and begin again/);
      hosts().elsewhere.standsFor.set(contents, hub.contentsPort);
      await tab.click('start');
      await tab.reaches(1);
    });
  });
});

const [question, answer] = ['Your name?', 'Call me Ishmael.'];
const twice = (example: string): string => `[${example}, ${example}]`;
/** Data of each form, by the names of their files; with what is learnt of them. */
const forms: ReadonlyArray<readonly [name: string, text: string, learnt: string]> = [
  ['lines.txt', `${answer}\n${answer}\n`, 'all me Ishmael.'],
  ['paragraphs.txt', `Call\nme Ishmael.\n\n${answer}\n`, 'all\nme Ishmael.'],
  ['texts.jsonl', `{"text": "${answer}"}\n`.repeat(2), 'all me Ishmael.'],
  ['pairs.jsonl', `{"prompt": "${question}", "completion": "${answer}"}\n`.repeat(2), answer],
  ['alpaca.json', twice(`{"instruction": "${question}", "input": "", "output": "${answer}"}`), answer],
  ['table.csv', `question,answer\n${`"${question}","${answer}"\n`.repeat(2)}`, answer],
  ['table.tsv', `question\tanswer\n${`${question}\t${answer}\n`.repeat(2)}`, answer],
  ['chat.jsonl', `{"messages": [{"role": "user", "content": "${question}"}, {"role": "assistant", "content": "${answer}"}]}\n`.repeat(2), answer],
  ['sharegpt.json', twice(`{"conversations": [{"from": "human", "value": "${question}"}, {"from": "gpt", "value": "${answer}"}]}`), answer],
]; // prettier-ignore

describe('data of one’s own', () => {
  it('are shown as they are learnt, whatever their form, chosen and pasted', async () => {
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, maxLength: 96});
    const {page} = tab;
    const template =
      '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}' +
      '{% if add_generation_prompt %}assistant: {% endif %}';
    const files = demoFiles.map((name) => ({name, mimeType: '', buffer: readFileSync(demoModel + name)})); // prettier-ignore
    files.push({name: 'chat_template.jinja', mimeType: '', buffer: Buffer.from(template)});
    await page.locator('input[name=data][value=pasted]').check();
    await page.fill('#pasted', forms.at(-1)![1]);
    await page.getByText(/this model knows no chats/).waitFor();

    await page.locator('input[name=model][value=files]').check();
    await modelFiles(page).setInputFiles(files);
    for (const way of ['pasted', 'files']) {
      await page.locator(`input[name=data][value=${way}]`).check();
      for (const [name, text, learnt] of forms) {
        if (way === 'pasted') await page.fill('#pasted', text);
        else await page.locator('#data-panel input[type=file]').setInputFiles({name, mimeType: '', buffer: Buffer.from(text)}); // prettier-ignore
        await page.locator('#estimate-note').filter({hasText: 'Computing'}).waitFor();
        await isEstimated(tab);
        const marked = await page.locator('#examples mark').first().textContent();
        // what ends a text is learnt, too
        const words = marked!.replace('<|endoftext|>', '').trim();
        expect(words, `${name}, ${way}`).to.equal(learnt);
      }
    }
    expect(tab.errors).to.eql([]);
  });

  it('that are pasted and too long for a field are kept, trained on and removed', async () => {
    const lines = Array.from({length: 30_000}, (_, i) => `{"prompt": "What is ${i} and 1?", "completion": "It is ${i + 1}."}\n`); // prettier-ignore
    const tab = await Tab.open(await newContext(), hosts().preview.url, {
      ...quick,
      steps: 3,
      validationSplit: 0.002,
    });
    const {page} = tab;
    await page.locator('input[name=data][value=pasted]').check();
    const field = page.locator('#pasted');
    /** Whether the page leaves it to the browser to put a text into the field. */
    const give = (text: string, how: 'paste' | 'drop'): Promise<boolean> =>
      field.evaluate(
        (target, {text, how}) => {
          const data = new DataTransfer();
          data.setData('text/plain', text);
          const init = {cancelable: true, bubbles: true};
          return target.dispatchEvent(
            how === 'paste'
              ? new ClipboardEvent('paste', {clipboardData: data, ...init})
              : new DragEvent('drop', {dataTransfer: data, ...init}),
          );
        },
        {text, how},
      );
    const paste = (text: string): Promise<boolean> => give(text, 'paste');
    const half = lines.slice(0, 6000).join('');
    expect(await paste(half)).to.equal(true);
    await field.evaluate((target, text) => ((target as HTMLTextAreaElement).value = text), half);
    expect(await paste(lines.slice(6000).join(''))).to.equal(false);
    const {length} = lines.join('');
    expect(await tab.text('pasted-kept')).to.match(/^Pasted text, \d\.\d\sMB/);
    expect(await field.inputValue()).to.equal('');
    expect(await field.isVisible()).to.equal(false);
    await page.getByRole('button', {name: 'Remove'}).click();
    expect(await field.isVisible()).to.equal(true);
    expect(await tab.text('phase')).to.equal('Paste some examples.');

    expect(await give(lines.join(''), 'drop')).to.equal(false);
    expect(await tab.text('pasted-kept')).to.match(/^Pasted text, \d\.\d\sMB/);
    await page.getByRole('button', {name: 'Remove'}).click();

    expect(await paste(lines.join(''))).to.equal(false);
    expect(length).to.be.above(1e6);
    await page.getByText(/Computing what it takes: reading all \d\.\d\sMB of the text/).waitFor();
    await tab.click('start');
    await tab.isIn('ended');
    const [info] = tab.of('ready');
    expect(info!.examples + info!.heldOutExamples).to.be.above(50);
    expect(await tab.text('phase')).to.match(/has learnt from pasted examples\.$/);
    expect(tab.errors).to.eql([]);
  });

  it('are asked for in their own form, when they are learnt and when the run is opened again', async () => {
    const lines = Array.from({length: 40}, (_, i) => `{"instruction": "What is ${i} and 1?", "output": "It is ${i + 1}."}\n`); // prettier-ignore
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 3, maxLength: 96}); // prettier-ignore
    const {page} = tab;
    await page.locator('input[name=data][value=pasted]').check();
    await page.fill('#pasted', lines.join(''));
    await page.getByText('40 examples').waitFor();
    expect(await tab.text('lead-own')).to.match(/^The built-in model learns from pasted examples\. OwLore wakes /); // prettier-ignore
    await tab.click('start');
    const note =
      'Both models are asked as in the training data: “Below is an instruction that describes a task. Write a response that ' +
      'appropriately completes the request. ### Instruction: … ### Response:”';
    const answers = async (): Promise<string[]> => {
      await tab.isIn('ended');
      expect(await tab.text('after-note')).to.equal(note);
      expect(await tab.text('chat-send')).to.equal('Ask');
      await page.fill('#chat-text', 'What is 3 and 1?');
      await tab.click('chat-send');
      await page.locator('#chat-send:enabled').waitFor();
      return page.locator('#chat-before, #chat-after').allTextContents();
    };
    const first = await answers();
    const sample = page.locator('#samples article p').first();
    const asked = (await sample.locator('b').textContent())!;
    expect(asked).to.match(/What is \d+ and 1\?/);
    expect((await sample.textContent())!.startsWith(`${asked}\n`)).to.equal(true);
    expect(first.join('')).not.to.match(/What is|Instruction/);
    await page.reload();
    await tab.isIn('idle');
    expect(await tab.text('lead-own')).to.equal('');
    expect(await tab.text('lead-built-in')).to.match(
      /learns the prose of Moby-Dick\. OwLore wakes /,
    );
    await page.locator('#runs').getByRole('button', {name: 'Open'}).click();
    expect(await tab.text('lead-own')).to.match(/^The built-in model learns from pasted examples\. OwLore wakes /); // prettier-ignore
    expect(await answers()).to.eql(first);
    expect(tab.errors).to.eql([]);
  });

  it('that are dropped, in several files, train', async () => {
    const lines = Array.from({length: 40}, (_, i) => `{"prompt": "What is ${i} and 1?", "completion": "It is ${i + 1}."}\n`); // prettier-ignore
    const files = ['a.jsonl', 'b.jsonl'].map((name) => join(folder, name));
    for (const file of files) writeFileSync(file, lines.join(''));
    const tab = await Tab.open(await newContext(), hosts().preview.url, {...quick, steps: 3});
    await tab.page.locator('input[name=data][value=files]').check();
    await drop(tab, '#data-panel', ...files);
    await tab.page.getByText('80 examples').waitFor();
    await tab.click('start');
    await tab.isIn('ended');
    expect(tab.losses().steps).to.have.length(3);
    expect(await tab.text('phase')).to.match(/has learnt from a\.jsonl and more\.$/);
    expect(tab.errors).to.eql([]);
  });
});

function modelFiles(page: Tab['page']): ReturnType<Tab['page']['locator']> {
  return page.locator('#model-panel').getByLabel('Choose files');
}

/** Waits until it is known what a run would take. */
async function isEstimated(tab: Tab): Promise<void> {
  await tab.page
    .locator('#estimate-note')
    .filter({hasText: /1\.71\smillion parameters in 8 blocks/})
    .waitFor();
}

/** Waits until it is said why the model cannot be had, and that it cannot be started with. */
async function isRefused(tab: Tab, words: RegExp): Promise<void> {
  await tab.page.locator('#estimate-note').filter({hasText: words}).waitFor();
  expect(await tab.page.locator('#start').isDisabled()).to.equal(true);
  expect(await tab.text('phase')).to.match(
    /^Cannot fine-tune somebody.*see why under “Will it fit\?”\.$/,
  );
}

async function noticeOf(tab: Tab): Promise<string> {
  await tab.page.locator('#notice:visible').waitFor();
  await tab.isIn('idle');
  return (await tab.page.locator('#notice').textContent())!;
}

/** Drops files or folders of this machine. */
function drop(tab: Tab, panel: string, ...files: string[]): Promise<void> {
  return tab.drop(tab.page.locator(`${panel} .drop:visible`), {files});
}
