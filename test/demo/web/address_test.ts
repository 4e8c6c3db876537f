import {expect} from 'chai';
import * as fc from 'fast-check';
import {leftOutText, readAddress, writeAddress} from '../../../demo/web/address';
import {settingNames, settings, type Settings} from '../../../demo/web/settings';
import {texts, type TextName} from '../../../demo/web/texts';

/** Any value that a setting takes. */
const values = Object.fromEntries(
  settingNames.map((name): [string, fc.Arbitrary<string | number>] => {
    const setting = settings[name];
    if (setting.kind === 'choice') return [name, fc.constantFrom(...Object.keys(setting.choices))];
    if (setting.kind === 'text')
      return [name, setting.form ? fc.constant('text=a') : fc.string({minLength: 1})];
    const {min, max, isWhole} = setting;
    return [name, isWhole ? fc.integer({min, max}) : fc.double({min, max, noNaN: true})];
  }),
);

describe('demo/web: address', () => {
  it('brings back what was written', () => {
    const all = fc.record(
      {
        model: fc.string({maxLength: 300}),
        text: fc.constantFrom(...(Object.keys(texts) as TextName[])),
        settings: fc.record(values, {requiredKeys: []}),
      },
      {requiredKeys: ['settings']},
    );
    fc.assert(
      fc.property(all, (address) => {
        const given = address as {settings: Settings};
        // not any text is a name
        if (given.settings.run !== undefined) given.settings.run = 'whales';
        expect(readAddress(`#${writeAddress(given)}`)).to.deep.equal(given);
      }),
    );
  });

  it('is empty for defaults, and can be read by people', () => {
    expect(writeAddress({settings: {}})).to.equal('');
    expect(writeAddress({model: 'owner/name@main', settings: {gamma: 2, steps: 10}})).to.equal(
      'model=owner/name@main&gamma=2&steps=10',
    );
  });

  it('leaves out what it does not know, or no setting takes', () => {
    const address =
      'steps=-1&rank=1e999&gamma=two&method=constructor&toString=1&seed=7&fields=a&text=toString';
    expect(readAddress(address)).to.deep.equal({settings: {seed: 7}});
  });

  it('says what it leaves out, by names alone', () => {
    expect(leftOutText('#model=a/b&text=moby-dick&steps=10&seed=7')).to.equal(null);
    expect(leftOutText('')).to.equal(null);
    expect(leftOutText('#text=Moby-Dick&seed=7')).to.match(/leaves out: “text”\.$/);
    expect(leftOutText('#steps=abc&method=nonsense&foo=1&seed=7&foo=2')).to.match(
      /leaves out: “steps”, “method”, “foo”\.$/,
    );
    const many = Array.from({length: 9}, (_, i) => `${String(i).repeat(500)}=1`).join('&');
    expect(leftOutText(many))
      .to.match(/ and 4 more\.$/)
      .and.to.have.length.below(600);
  });

  it('cuts a name of a model that is far too long', () => {
    expect(readAddress(`model=${'x'.repeat(1000)}`).model).to.have.length(300);
  });
});
