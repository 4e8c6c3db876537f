/** An SVG as the text of a file. In attributes a tenth of a pixel is enough, and a third of the size. */
export function svgText(svg: SVGElement): string {
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  const text = svg.outerHTML.replace(/="[^"]*"/g, (value) =>
    value.replace(/\d+\.\d{2,}/g, (number) => String(Number(Number(number).toFixed(1)))),
  );
  return `${text}\n`;
}
