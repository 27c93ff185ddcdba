import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";
import "./styles/pages.css";
import { startLive } from "./live.ts";
import { Shell } from "./shell.tsx";

startLive();
render(<Shell />, document.getElementById("app")!);
