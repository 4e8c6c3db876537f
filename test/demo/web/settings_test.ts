import {expect} from 'chai';
import {
  asOptions,
  builtInDefaults,
  helpOf,
  methodSentence,
  readSetting,
  settingNames,
  settings,
  tabDefaults,
  whatItTakes,
} from '../../../demo/web/settings';
import {methodDefaults} from '../../../demo/web/method_defaults';
import {resolveSettings} from '../../../src/worker/settings';

/** What the library has under other names than the form. */
const ofDataset = ['format', 'fields', 'packing', 'learnPrompts', 'template'];

describe('demo/web: settings', () => {
  it('each has a label, a sentence and a default', () => {
    for (const name of settingNames) {
      const setting = settings[name];
      expect(setting.label, name).not.to.equal('');
      expect(setting.help, name).to.match(/\.$/);
      const hasDefault = setting.kind === 'choice' || setting.otherwise !== undefined;
      const ofMethod = methodDefaults('owlore', 100);
      const isDefaulted = [builtInDefaults, tabDefaults].every(
        (own) => (own[name] ?? ofMethod[name]) !== undefined,
      );
      expect(hasDefault || isDefaulted, name).to.equal(true);
      expect(whatItTakes(setting), name).to.match(/\.$/);
    }
  });

  it('are the library’s options, with its choices', () => {
    const given = {model: 'owner/name', data: {'x.txt': 'x'}};
    for (const name of settingNames) {
      const setting = settings[name];
      if (ofDataset.includes(name) || setting.kind === 'text') continue;
      const values = setting.kind === 'choice' ? Object.keys(setting.choices) : [setting.min || 1];
      for (const value of values) {
        // > 0 and whole, where the library wants that
        const option = name === 'validationSplit' ? 0.1 : value;
        resolveSettings('test', {...given, [name]: option});
      }
    }
  });

  it('defaults are values that the settings take', () => {
    for (const own of [builtInDefaults, tabDefaults])
      for (const [name, value] of Object.entries(own))
        expect(readSetting(name as (typeof settingNames)[number], String(value)), name).to.equal(value); // prettier-ignore
  });

  it('takes numbers in their range, names that a run may have, and pairs of fields', () => {
    expect(readSetting('steps', '10')).to.equal(10);
    expect(readSetting('learningRate', '1e-4')).to.equal(1e-4);
    for (const text of ['', ' ', '0', '1.5', 'ten', 'Infinity', '1e7'])
      expect(readSetting('steps', text), text).to.equal(null);
    expect(readSetting('method', 'toString')).to.equal(null);
    expect(readSetting('fields', 'prompt=a b,answer=c')).to.equal('prompt=a b,answer=c');
    for (const text of ['prompt', 'prompt=', 'x=y', 'prompt=a,,answer=b', ''])
      expect(readSetting('fields', text), text).to.equal(null);
    expect(readSetting('run', 'whales 2')).to.equal('whales 2');
    for (const text of ['../x', '.x', 'x.', 'a/b', 'a\nb', 'x'.repeat(101)])
      expect(readSetting('run', text), text).to.equal(null);
  });

  it('say how a number with a comma is written', () => {
    expect(whatItTakes(settings.learningRate, '0,002')).to.equal('Write it with a point: 0.002.');
    expect(whatItTakes(settings.steps, '1,000')).to.equal('Write it without a comma: 1000.');
    expect(whatItTakes(settings.learningRate, 'a,b')).to.equal('A number from 1e-8 to 10.');
  });

  it('have a sentence of each method, which says what that method does', () => {
    const {method} = settings;
    const methods = method.kind === 'choice' ? Object.keys(method.choices) : [];
    expect(new Set(methods.map((name) => helpOf(method, name))).size).to.equal(methods.length);
    expect(helpOf(method, 'full')).to.match(/^Trains all weights in every step/);
    expect(methodSentence('lora')).to.match(/^LoRA trains small matrices beside the weights/);
    expect(methodSentence('lisa-d')).to.match(/^LISA trains .* near the input more often\.$/);
    expect(methodSentence('full')).to.match(/^Full fine-tuning trains /);
  });

  it('are given to the library as it takes them, without those that the method does not look at', () => {
    const options = asOptions({
      ...{method: 'full', rank: 8, gamma: 2, learningRate: 1e-4, run: 'whales'},
      ...{packing: 'true', learnPrompts: 'false', format: 'chat', template: '{{ x }}'},
      ...{fields: 'prompt=q, answer=a b', prompts: 'One\n\n two '},
    });
    expect(options).to.deep.equal({
      ...{method: 'full', learningRate: 1e-4, run: 'whales', prompts: ['One', 'two']},
      dataset: {
        ...{packing: true, learnPrompts: false, format: 'chat', template: '{{ x }}'},
        fields: {prompt: 'q', answer: 'a b'},
      },
    });
    resolveSettings('test', {model: 'owner/name', data: {'x.txt': 'x'}, ...options});
    expect(asOptions({rank: 8})).to.deep.equal({rank: 8});
  });
});
