import {expect} from 'chai';
import {compileChatTemplate} from '../../../src/llama/text/chat_template';
import {itAtLength} from '../../support/backends';

const TOO_MUCH =
  'applyChatTemplate: the chat template cannot be applied: it runs too long or writes too much; ' +
  'take the template of a model that you trust, or mend its loops';
const TOO_DEEP =
  'applyChatTemplate: the chat template cannot be applied: it is nested more than 300 deep; does a macro call itself for ever?';

/** Doubles a value so many times, and calls it `x`, or by another name. */
const doubled = (value: string, times: number, operator = '~', name = 'x'): string =>
  `{% set ns = namespace(x=${value}) %}` +
  `{% for i in range(${times}) %}{% set ns.x = ns.x ${operator} ns.x %}{% endfor %}{% set ${name} = ns.x %}`;
/** 65 536 characters. */
const text = doubled("'ab'", 15);
/** A million. */
const long = doubled("'ab'", 19);
/** A list of lists that takes 2⁶⁰ characters to be written. */
const nested = doubled('[1]', 60).replace('ns.x ~ ns.x', '[ns.x, ns.x]');
const times = (count: number, body: string): string =>
  `{% for i in range(${count}) %}${body}{% endfor %}`;

describe('a chat template of a stranger', () => {
  const user = [{role: 'user', content: 'hi', tools: [{b: 1}, {a: 2}]}];
  const apply = (template: string, messages = user): string =>
    compileChatTemplate(template)(messages, {});

  /** 4096 messages. */
  const many = doubled('messages', 12, '+', 'many');

  /** Without limits each of them takes minutes or gigabytes, or writes millions of characters. */
  const refused: Record<string, string> = {
    'splits a text again and again': text + times(300, "{% set y = x.split('a') | length %}"),
    'splits by a method that it keeps':
      text + '{% set f = x.split %}' + times(300, "{% set y = f('a') %}"),
    'splits at blanks': doubled("'a '", 15) + times(300, '{% set y = x.split() | length %}'),
    'splits a text of millions of characters': doubled("'ab'", 22) + "{% set y = x.split('a') %}",
    'takes a long text apart by a slice': doubled("'ab'", 22) + '{{ x[0:1] }}',
    'sorts long lists': text + "{% set l = x.split('a') %}" + times(30, '{% set y = l | sort %}'),
    'sorts long texts': `${long}${doubled('[x]', 7, '+')}{% set y = x | sort %}`,
    'sorts by a path without end': `${text}${many}{% set y = many | sort(attribute=x) %}`,
    'maps by a path without end': `${text}${many}{% set y = many | map(attribute=x) | length %}`,
    'doubles lists': times(100, doubled('[1]', 16, '+')),
    'replaces a character by a long text': text + "{% set y = x.replace('a', x) %}",
    'looks for a long text at each place':
      doubled("'aa'", 19) + "{% set y = x.replace(x[:20000] ~ 'b', '') %}",
    'joins by a long text': text + '{% set y = range(100000) | join(x) %}',
    'joins the characters of a text': long + times(100, "{% set y = x | join(',') | length %}"),
    'writes JSON with wide margins': '{% set y = range(100000) | tojson(indent=100000) %}',
    'writes JSON with long separators':
      text + '{% set y = range(100000) | tojson(separators=[x, x]) %}',
    'indents many lines': doubled("'a\\n'", 15) + '{% set y = x | indent(100000) %}',
    'indents many lines of a block': `{% filter indent(100000) %}${times(10_000, 'a\n')}{% endfilter %}`,
    'compares a text with a list':
      '{% set l = range(65536) %}' + times(300, "{% set y = l == 'x' %}"),
    'looks for a long text among others':
      long +
      "{% set ns.l = [x ~ 'a'] %}" +
      times(12, '{% set ns.l = ns.l + ns.l %}') +
      "{{ (x ~ 'b') in ns.l }}",
    'reverses lists':
      '{% set l = range(65536) %}' + times(300, '{% set y = l | reverse | length %}'),
    'takes slices of lists': '{% set l = range(65536) %}' + times(300, '{% set y = l[::-1] %}'),
    'keeps many lists':
      text + '{% set ns.l = [] %}' + times(300, "{% set ns.l = [ns.l, x.split('a')] %}"),
    'adds a list of lists to a text': `${nested}{% set y = x ~ 'a' %}`,
    'compares a list of lists with a text': `${nested}{% set y = x == 'a' %}`,
    'writes a list of lists': `${nested}{{ x }}`,
    'makes a text of a list of lists': `${nested}{% set y = x | string %}`,
    'makes JSON of a list of lists': `${nested}{% set y = x | tojson %}`,
    'takes the characters of a long text for names': `${doubled("'ab'", 21)}{% set y = namespace([x]) %}`,
    'takes them by another name': `${doubled("'ab'", 21)}{% set f = namespace %}{% set y = f([x]) %}`,
    'writes a long text often': long + times(100, '{{ x }}'),
  };
  for (const [what, template] of Object.entries(refused)) {
    itAtLength(`is stopped when it ${what}`, () => {
      expect(() => apply(template)).to.throw(TOO_MUCH);
    });
  }

  it('gets nothing done by functions with what they do not take', () => {
    const date = 'strftime_now() must have a text of at most 100000 characters';
    const range = 'range() must have one to three numbers';
    const reasons: Record<string, string> = {
      '{{ raise_exception(x) }}': 'raise_exception() must have a text',
      '{{ raise_exception([x]) }}': 'raise_exception() must have a text',
      "{{ raise_exception({'a': x}) }}": 'raise_exception() must have a text',
      '{{ raise_exception() }}': 'raise_exception() must have a text',
      '{{ strftime_now(x) }}': date,
      '{{ strftime_now([x]) }}': date,
      '{{ strftime_now() }}': date,
      '{{ range(x) }}': range,
      '{{ range(0, x) }}': range,
      '{{ range(0, 1, x) }}': range,
      "{{ range('3') }}": range,
      '{{ range() }}': range,
    };
    for (const [template, reason] of Object.entries(reasons)) {
      // 20 times: it can be written, and what is doubled 60 times cannot
      for (const value of [nested.replace('60', '20'), nested]) {
        expect(() => apply(value + template), template).to.throw(
          `applyChatTemplate: the chat template cannot be applied: ${reason}`,
        );
      }
    }
    expect(() => apply(`${long}{{ strftime_now(x) }}`)).to.throw(date);
  });

  it('tells what the engine says in other words', () => {
    const deep = 'it is too long or nested too deep; take the template of a model that you trust';
    const unread: string[] = [
      `{{ ${'['.repeat(5000)}1${']'.repeat(5000)} }}`,
      `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`,
      '{% if 1 %}'.repeat(5000) + '{% endif %}'.repeat(5000),
      `{{ ${'-'.repeat(100_000)}1 }}`,
    ];
    for (const template of unread) {
      expect(() => apply(template)).to.throw(
        `loadTokenizer: the chat template cannot be read: ${deep}`,
      );
    }
    const reasons: Record<string, string> = {
      "{{ 'a' | indent(-1) }}": 'it uses something that is missing or is not what it must be; take',
      '{{ [{}] | selectattr() }}': 'it uses something that is missing or is not what it must be;',
      '{% break %}': 'a break or continue of it stands outside a loop',
    };
    for (const [template, reason] of Object.entries(reasons)) {
      expect(() => apply(template)).to.throw(
        `applyChatTemplate: the chat template cannot be applied: ${reason}`,
      );
    }
    // as in Python
    expect(
      apply('{{ [] | first }}{{ ([] | last) is defined }}{{ [[] | first] | length }}'),
    ).to.equal('false1');
  });

  it('is stopped when it writes what contains itself', () => {
    const cyclic = '{% set ns = namespace() %}{% set ns.x = ns %}';
    for (const written of ['{{ ns }}', '{{ ns | tojson }}', "{{ 'a' ~ ns.x }}"]) {
      expect(() => apply(cyclic + written), written).to.throw(TOO_DEEP);
    }
  });

  it('is stopped by the clock in what has no price', () => {
    const {now} = performance;
    const start = now.call(performance);
    let looks = 0;
    performance.now = () => start + looks++;
    try {
      const macro = `{% macro f() %}${'{{ a }}'.repeat(100)}{% endmacro %}`;
      expect(() => apply(times(20_000, macro))).to.throw(TOO_MUCH);
      // each look at the clock is a millisecond here
      expect(looks).to.be.within(10_000, 11_000);
    } finally {
      performance.now = now;
    }
  });

  itAtLength('may be long, and use what it needs', () => {
    const turns = Array.from({length: 1000}, (_, i) => ({
      role: i % 2 === 0 ? 'user' : 'assistant',
      content: `<think>\n?\n</think>\n\n${'word '.repeat(200)}`,
      tools: [{b: 1}, {a: 2}],
    }));
    // as in the template of Qwen 3, and a list that grows
    const template =
      '{% set ns = namespace(last=messages | length - 1, seen=[]) %}' +
      '{% for m in messages[::-1] %}{% set index = (messages | length - 1) - loop.index0 %}' +
      "{% if ns.last == 999 and m.role == 'user' and not m.content.startswith('<tool>') %}" +
      '{% set ns.last = index %}{% endif %}{% endfor %}' +
      '{% for m in messages %}{% set ns.seen = ns.seen + [m] %}{% set content = m.content %}' +
      "{% if messages | selectattr('role', 'equalto', 'system') | list | length > 0 %}?{% endif %}" +
      "{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}" +
      "{{ '<|im_start|>' + m.role + '\\n' + content | trim | replace('word', 'w') + '<|im_end|>' }}{% endfor %}" +
      '{{ ns.last }}{{ ns.seen | length }}{{ messages[0].tools | tojson(indent=4) }}';
    const one = (role: string): string =>
      `<|im_start|>${role}\n${'w '.repeat(200).trim()}<|im_end|>`;
    expect(apply(template, turns)).to.equal(
      (one('user') + one('assistant')).repeat(500) +
        '9981000' +
        JSON.stringify(turns[0]!.tools, null, 4),
    );
  });

  it('writes what Python’s jinja2 3.1.6 writes with it, as transformers calls that', () => {
    const cases: Array<[template: string, text: string]> = [
      ["{{ ' \\nx\\n '.strip('\\n') }}", ' \nx\n '],
      ["{{ 'xabx'.strip('x') }}", 'ab'],
      ["{{ '\\n\\n  return x'.lstrip('\\n') }}", '  return x'],
      ["{{ 'xyxabyx'.rstrip('xy') }}", 'xyxab'],
      ["{{ 'xx'.strip('x') }}", ''],
      ["{{ '  a '.strip() }}", 'a'],
      ["{{ ('xax'.strip('x') | upper) + 'b'.lstrip('a') }}", 'Ab'],
      ['{% if tools is not none %}TOOLS{% else %}NO{% endif %}', 'NO'],
      ['{% if tools is defined and documents is none %}yes{% endif %}', 'yes'],
      ['{% for m in messages %}\r\n{{ m.content }}\r\n{% endfor %}\r\n', 'hi\n'],
    ];
    for (const [template, expected] of cases) expect(apply(template), template).to.equal(expected);
  });

  it('says why it refuses in at most 1000 characters', () => {
    expect(() => apply(`${text}{{ raise_exception(x) }}`)).to.throw(
      new RegExp(`^applyChatTemplate: the chat template cannot be applied: (ab){500}…$`),
    );
  });

  it('is told the date as often as it asks', () => {
    const date = new Date().toLocaleDateString('en-US', {weekday: 'long'});
    const percent = doubled("'%A'", 15);
    // at midnight it may be the next day
    expect(apply(`${percent}{{ strftime_now(x) | length }}`)).to.match(/^\d{6}$/);
    expect(date).to.match(/day$/);
  });
});
