import {expect} from 'chai';
import {
  bytesText,
  countText,
  examplesText,
  largeCountText,
  lossText,
  nameText,
  percentText,
  rateText,
  runLossText,
  secondsText,
  statusText,
  timeText,
  writtenText,
} from '../../../demo/web/words';

describe('demo/web: words', () => {
  const plain = (text: string): string => text.replaceAll('\u00a0', ' ');

  it('shows where a text was cut, and only there', () => {
    expect(writtenText({text: 'the whale and the shi', isCut: true})).to.equal('the whale and the shi…'); // prettier-ignore
    expect(writtenText({text: 'a sea, \n', isCut: true})).to.equal('a sea,…');
    for (const text of ['', 'the end of a line without a stop', 'Done.\n'])
      expect(writtenText({text, isCut: false})).to.equal(text);
  });

  it('has sizes in three digits or so', () => {
    const sizes = [0, 1, 999, 999_999, 1e6, 99.96e6, 181.2e6, 1e9, 3.979e9, 12.34e9];
    expect(sizes.map(bytesText).map(plain)).to.deep.equal([
      ...['0 kB', '1 kB', '1 kB', '1.0 MB', '1.0 MB', '100 MB', '181 MB'],
      ...['1.00 GB', '3.98 GB', '12.3 GB'],
    ]);
  });

  it('has durations without a part of sixty', () => {
    const seconds = [0, 59.4, 59.6, 80, 3599.7, 3600, 7325];
    expect(seconds.map(secondsText).map(plain)).to.deep.equal([
      ...['0 s', '59 s', '1 min 0 s', '1 min 20 s', '1 h 0 min', '1 h 0 min', '2 h 2 min'],
    ]);
  });

  it('has days with their times', () => {
    expect(timeText(new Date(2026, 0, 31, 9, 5).getTime())).to.equal('31 Jan 2026, 9:05');
    expect(timeText(new Date(2026, 11, 1, 14, 30).getTime())).to.equal('1 Dec 2026, 14:30');
  });

  it('has counts and parts', () => {
    const counts = [0, 999, 1000, 65_536, 1710000.4, 1e9];
    expect(counts.map(countText)).to.deep.equal(
      counts.map((n) => Math.round(n).toLocaleString('en')),
    );
    expect(countText(1710000.4)).to.equal('1,710,000');
    expect([950, 1.714e6, 134.5e6, 1.24e9].map(largeCountText)).to.deep.equal([
      ...['950', '1.71\u00a0million', '135\u00a0million', '1.24\u00a0billion'],
    ]);
    expect(plain(percentText(0.3249))).to.equal('32 %');
  });

  it('has how many examples can be used, of how many where some cannot', () => {
    expect([examplesText(1, 1), examplesText(36, 36), examplesText(24, 1036)]).to.deep.equal([
      ...['1 example', '36 examples', '24 of 1,036 examples'],
    ]);
  });

  it('says which loss the one of a run is', () => {
    expect(runLossText({heldOut: 3.129, loss: 3.2})).to.equal('held-out loss 3.129');
    expect(runLossText({heldOut: null, loss: 3.2})).to.equal('loss 3.200 of the last step');
    expect(runLossText({heldOut: null, loss: null})).to.equal(null);
  });

  it('has losses, and a dash for none', () => {
    expect([3.14159, NaN, Infinity, null, undefined].map(lossText)).to.deep.equal([
      ...['3.142', 'not finite', 'not finite', '–', '–'],
    ]);
  });

  it('has rates as one would type them', () => {
    const rates = [0, 0.002, 0.0012345, 1, 5e-4, 1e-5, 3.333e-5, 1.1e-7];
    expect(rates.map(rateText)).to.deep.equal([
      ...['0', '0.002', '0.00123', '1', '5e-4', '1e-5', '3.33e-5', '1.1e-7'],
    ]);
    for (const rate of rates) expect(Number(rateText(rate))).to.be.closeTo(rate, 0.005 * rate);
  });

  it('has how far a worker is: bytes of a model, the part of the examples that is read, or a count', () => {
    const texts = [
      statusText({phase: 'data', text: 'reading the examples'}),
      statusText({phase: 'data', text: 'reading the examples', done: 7}),
      statusText({phase: 'data', text: 'reading the examples', done: 1100, total: 2000}),
      statusText({phase: 'heldOut', text: 'measuring the held-out loss', done: 1, total: 4}),
      statusText({phase: 'model', text: 'downloading a', done: 2e6, total: 5e6}),
      statusText({phase: 'scores', text: 'scoring the blocks', done: 2, total: 8}),
    ];
    expect(texts.map(plain)).to.deep.equal([
      ...['Reading the examples …', 'Reading the examples: 7 so far', 'Reading the examples: 55 %'],
      ...['Measuring the held-out loss: 25 %'],
      ...['Downloading a: 2.0 MB of 5.0 MB', 'Scoring the blocks: 2 of 8'],
    ]);
  });

  it('has names that leave the sentence around them as it is', () => {
    expect(nameText('chats.jsonl')).to.equal('chats.jsonl');
    expect(nameText('a\u202elnosj.\0txt')).to.equal('a\ufffdlnosj.\ufffdtxt');
    const long = nameText(`${'𠮷'.repeat(200)}.jsonl`);
    expect(long).to.equal(`${'𠮷'.repeat(50)}…${'𠮷'.repeat(14)}.jsonl`);
  });
});
