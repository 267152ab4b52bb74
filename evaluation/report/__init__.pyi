from .run_page import report_html as report_html
from .run_page import write_report as write_report
from .sentences import summarise as summarise
from .text_table import comparison_table as comparison_table
